// Barlow Twins (Zbontar, Jing, Misra, LeCun & Deny: "Barlow Twins: Self-Supervised Learning via Redundancy
// Reduction", ICML 2021). Features of two views are to be equal, and different features uncorrelated.
//
//   ẑ = (z − μ) / √(v + ε), of each feature over the batch, v = Σ (z − μ)² / N
//   C_ij = Σ_b ẑᵃ_bi ẑᵇ_bj / N                                          (eq. 2)
//   L = s [ Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij² ]                     (eq. 1)
//
// and with G_ij = 2 (C_ij − 1) if i = j, else 2 λ C_ij:
//
//   ∂L/∂zᵃ_bi = s / (N √(vᵃ_i + ε)) · (Σ_j G_ij ẑᵇ_bj − ẑᵃ_bi Σ_j G_ij C_ij), and ∂L/∂zᵇ with Gᵀ.
#pragma once

#include "train/objectives/two_views.h"

namespace lamina {

struct BarlowTwinsOptions {
  double lambda = 5e-3;  // λ: 0.0051 in the paper, 0.005 in the official TVLARS code, lightly
  double scale = 1;      // s: solo-learn has 0.1 on CIFAR-10
  double eps = 1e-5;     // ε
  // What C's sums are divided by instead of N, the embeddings that there are; 0: N. The official TVLARS code
  // divides by the nominal batch, so that the C_ii of a short last batch cannot reach 1.
  std::int64_t nominal_batch = 0;
};

// z_a, z_b [N, D], floating -> a scalar. Throws Error unless they are alike, with N ≥ 2.
Tensor barlow_twins_loss(const Tensor& z_a, const Tensor& z_b, const BarlowTwinsOptions& options = {});
// The same from elementary ops: the oracle of its gradient, and its second derivative.
Tensor barlow_twins_loss_composed(const Tensor& z_a, const Tensor& z_b,
                                  const BarlowTwinsOptions& options = {});

class BarlowTwins final : public TwoViewObjective {
 public:
  // net: images [N, H, W, C] -> embeddings [N, D]; it must outlive this. Throws UsageError for options out of
  // range.
  explicit BarlowTwins(Module& net, const BarlowTwinsOptions& options = {}, const TwoViewOptions& views = {});

  std::string name() const override { return "barlow-twins"; }
  // on_diagonal Σ (1 − C_ii)², D at collapse; off_diagonal Σ_{i≠j} C_ij², without λ; correlation, the mean
  // C_ii.
  std::vector<MetricInfo> metrics() const override;
  std::vector<std::pair<std::string, std::string>> options() const override;
  std::string collapse(const Metrics& means, const Metrics& start) const override;

 private:
  PartLoss whole_loss(const train::Embeddings& z) const override;
  std::unique_ptr<train::EmbeddingBatch> new_batch() const override;

  BarlowTwinsOptions options_;
};

}  // namespace lamina
