#include "core/joint_op.h"

#include <memory>
#include <utility>

namespace lamina {

// The outputs' nodes hang on one node, which is older and so comes after all of them: they leave their
// gradients where it finds them.
std::vector<Tensor> record_joint(const char* name, std::vector<Tensor> outputs,
                                 std::initializer_list<Tensor> inputs, JointBackward backward) {
  const auto arrived = std::make_shared<std::vector<Tensor>>(outputs.size());
  const Tensor joint = record(name, Tensor::zeros({}), inputs,
                              [arrived, backward = std::move(backward)](const Tensor&, Grads& grads) {
                                // Another pass may come, and must not see the gradients of this one.
                                const std::vector<Tensor> grad_outputs =
                                    std::exchange(*arrived, std::vector<Tensor>(arrived->size()));
                                backward(grad_outputs, grads);
                              });
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].defined()) continue;
    outputs[i] = record(name, outputs[i], {joint}, [arrived, i](const Tensor& grad, Grads& grads) {
      (*arrived)[i] = grad;
      grads.set(0, Tensor::zeros({}));
    });
  }
  return outputs;
}

}  // namespace lamina
