// Initial weights: a pure function of (seed, position of the parameter in module.parameters()), computed on
// the host, so the same on every device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "layers/module.h"

namespace lamina {

// Kaiming (He et al. 2015, "Delving Deep into Rectifiers", eq. 14): variance 2 / fan, with fan = fan_out for
// convolutions (as torchvision does) and fan_in for linear layers. Xavier (Glorot & Bengio 2010, eq. 16):
// variance 2 / (fan_in + fan_out). fan_in and fan_out count kh * kw positions for a convolution.
enum class Init { kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform };
const char* name_of(Init init);          // "kaiming_normal"
Init parse_init(std::string_view text);  // throws UsageError listing the names
std::vector<std::string> init_names();

// With `init`: every weight (tensors of 2 and more dimensions) follows it. Without: convolutions are
// kaiming_normal and linear weights uniform in ±1/√fan_in, PyTorch's and torchvision's default. Either way
// biases are uniform in ±1/√fan_in of the weight before them, and norm parameters keep their 1 and 0.
void initialise(Module& module, std::optional<Init> init = {}, std::uint64_t seed = lamina::seed());

// The parameters of `part` alone, which is a part of `module`: to what initialise(module) would give them.
void initialise_part(const Module& module, const Module& part, std::optional<Init> init = {},
                     std::uint64_t seed = lamina::seed());

}  // namespace lamina
