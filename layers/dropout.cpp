#include "layers/dropout.h"

#include "core/base/error.h"
#include "core/ops/dropout.h"
#include "core/random.h"

namespace lamina {

namespace {

// FNV-1a: two layers of one model must not share their masks.
std::uint64_t hash_of(const std::string& path) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

Dropout::Dropout(double p, const DropoutLayerOptions& options)
    : p_(p), seed_(options.seed.value_or(lamina::seed())) {
  check(p >= 0 && p <= 1, "Dropout: p {} is not a probability; expected 0 to 1", p);
  num_masks_ = add_param("num_masks", ParamKind::buffer, Tensor::zeros({}, {DType::i32, options.device}));
}

std::string Dropout::kind() const { return fmt::format("Dropout {}", p_); }

Tensor Dropout::forward(const Tensor& x) {
  return training() ? dropout(x, p_, num_masks_->value, seed_ ^ hash_of(path())) : x;
}

}  // namespace lamina
