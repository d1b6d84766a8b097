// SimCLR (Chen, Kornblith, Norouzi & Hinton: "A Simple Framework for Contrastive Learning of Visual
// Representations", ICML 2020): of all images in a batch, an embedding is to be nearest to that of the other
// view of its own image. With u = z / ‖z‖, the 2N rows of both views and p(i) the other view of row i:
//
//   ℓ_i = log Σ_{j≠i} exp(u_i·u_j / τ) − u_i·u_p(i) / τ               (eq. 1, NT-Xent)
//   L = s Σ_i ℓ_i / 2N
//
// and with P_ij = exp(u_i·u_j / τ) / Σ_{k≠i} exp(u_i·u_k / τ) for j ≠ i:
//
//   ∂L/∂u_i = s / (2Nτ) · (Σ_{j≠i} (P_ij + P_ji) u_j − 2 u_p(i)),   ∂L/∂z = (g − u (u·g)) / ‖z‖ with g =
//   ∂L/∂u.
#pragma once

#include "train/objectives/two_views.h"

namespace lamina {

struct SimClrOptions {
  double temperature = 0.5;  // τ: 0.5 in the paper on CIFAR-10; solo-learn has 0.2
  double scale = 1;          // s: 2 in google-research's code, which adds up the means over the two views
};

// z_a, z_b [N, D], floating -> a scalar. Memory for some rows of the 2N × 2N similarities, not for all.
// Throws Error unless they are alike, with N ≥ 2.
Tensor nt_xent_loss(const Tensor& z_a, const Tensor& z_b, const SimClrOptions& options = {});
// The same from elementary ops: the oracle of its gradient, and its second derivative. All similarities at
// once.
Tensor nt_xent_loss_composed(const Tensor& z_a, const Tensor& z_b, const SimClrOptions& options = {});

// Wang & Isola ("Understanding Contrastive Representation Learning through Alignment and Uniformity on the
// Hypersphere", ICML 2020, §4.1), of rows of length 1. Without a gradient.
Tensor alignment(const Tensor& u_a, const Tensor& u_b);  // mean ‖u_a − u_b‖²: 0 … 4, 0 is the aim
Tensor uniformity(const Tensor& u);  // log mean_{i≠j} exp(−2 ‖u_i − u_j‖²): 0 if all are equal, −4 at best

class SimClr final : public TwoViewObjective {
 public:
  // net: images [N, H, W, C] -> embeddings [N, D]; it must outlive this. Throws UsageError for options out of
  // range.
  explicit SimClr(Module& net, const SimClrOptions& options = {}, const TwoViewOptions& views = {});

  std::string name() const override { return "simclr"; }
  std::vector<MetricInfo> metrics() const override;  // alignment, and the mean uniformity of the views
  std::vector<std::pair<std::string, std::string>> options() const override;
  std::string collapse(const Metrics& means, const Metrics& start) const override;

 private:
  PartLoss whole_loss(const train::Embeddings& z) const override;
  std::unique_ptr<train::EmbeddingBatch> new_batch() const override;

  SimClrOptions options_;
};

}  // namespace lamina
