// Ops with several outputs whose backward function takes the outputs' gradients together, where taking them
// one by one would read the inputs again for each.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "core/autograd.h"

namespace lamina {

// grad_outputs: one for each output, undefined where no gradient reached it; at least one is defined.
using JointBackward = std::function<void(std::span<const Tensor> grad_outputs, Grads& grads)>;

// Ends such an op, as record() ends one with a single output. Outputs may be undefined, and stay so.
std::vector<Tensor> record_joint(const char* name, std::vector<Tensor> outputs,
                                 std::initializer_list<Tensor> inputs, JointBackward backward);

}  // namespace lamina
