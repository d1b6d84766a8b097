// Parameters that a training leaves as they are: no gradient is computed for them, nor what below them in the
// network would only serve such gradients. Weight files hold them like any other.
//
//   freeze(net, "layer1.*");                // before the optimizer is made, which then passes them over
//   Sgd optimizer(net.parameters(), {…});
//
// A frozen batch normalisation still moves its running statistics in training mode, as in PyTorch; eval() of
// that module keeps those as well.
#pragma once

#include <string>

#include "layers/module.h"

namespace lamina {

// Those whose Param::name matches (core/base/name_pattern.h). Throws UsageError, naming near ones, if none
// does. An optimizer made before then refuses to step: make a new one.
void freeze(Module& module, const std::string& pattern = "*");
void unfreeze(Module& module, const std::string& pattern = "*");

}  // namespace lamina
