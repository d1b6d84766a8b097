// The multilayer perceptron that self-supervised learning puts after a backbone: its outputs, the embeddings,
// are what the loss compares; what is kept afterwards is the backbone.
//
//   source                             widths            biases: hidden, last  batch norm: hidden, last
//   Barlow Twins (facebookresearch)    8192, 8192, 8192  no, no                yes, no
//   VICReg (facebookresearch)          8192, 8192, 8192  yes, no               yes, no
//   official TVLARS code               4096, 4096, 4096  no, no                yes, no
//   solo-learn: Barlow Twins, VICReg   2048, 2048, 2048  yes, yes              yes, no
//   solo-learn: SimCLR                 2048, 256         yes, yes              no, no
//   lightly: Barlow Twins on CIFAR-10  2048, 2048        no, yes               yes, no
//   lightly: SimCLR on CIFAR-10        512, 128          no, no                yes, yes
#pragma once

#include <vector>

#include "layers/module.h"

namespace lamina {

struct ProjectorOptions {
  std::vector<int> widths = {2048, 2048, 2048};  // of each linear layer's output; the last is the embeddings'
  bool hidden_bias = false;                      // of the linear layers but the last
  bool last_bias = false;
  bool hidden_batch_norm = true;  // between a linear layer and its ReLU
  bool last_batch_norm = false;   // after the last linear layer, which has no ReLU
  TensorOptions tensor = {};      // of the parameters
};

// x [N, in] -> [N, widths.back()]: linear, batch norm, ReLU, …, linear. The parts are named "0", "1", … as in
// PyTorch's Sequential of the same layers. Weights are NaN until initialise() or load_weights() sets them.
class Projector final : public Module {
 public:
  // Throws UsageError without widths, or for one that is not positive.
  explicit Projector(int in, const ProjectorOptions& options = {});
  std::string kind() const override { return "Projector"; }

 private:
  template <typename M, typename... Args>
  void add(Args&&... args) {
    add_child<M>(std::to_string(children().size()), std::forward<Args>(args)...);
  }
  Tensor forward(const Tensor& x) override;
};

}  // namespace lamina
