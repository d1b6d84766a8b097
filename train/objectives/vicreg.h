// VICReg (Bardes, Ponce & LeCun: "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
// Learning", ICLR 2022). Two views are to be equal, each feature to vary, and different ones not together.
// With z̃ = z − its mean over the batch:
//
//   v(Z) = Σ_j max(0, γ − S_j) / D,   S_j = √(Var(z_j) + ε), Var unbiased     (eq. 1, 2)
//   c(Z) = Σ_{i≠j} K_ij² / D,         K = z̃ᵀ z̃ / (N − 1)                      (eq. 3, 4)
//   s(Zᵃ, Zᵇ) = Σ_b ‖zᵃ_b − zᵇ_b‖² / (N D)                                    (eq. 5; / D as the authors'
//   code) L = λ s + μ ½ [v(Zᵃ) + v(Zᵇ)] + ν [c(Zᵃ) + c(Zᵇ)]                         (eq. 6; ½ as the authors'
//   code)
//
//   ∂L/∂zᵃ = 2 λ (zᵃ − zᵇ) / (N D) + z̃ᵃ M,
//   M_ij = 4 ν K_ij / (D (N − 1)) if i ≠ j, else −½ μ 1[S_i < γ] / (D (N − 1) S_i).
#pragma once

#include "train/objectives/two_views.h"

namespace lamina {

struct VicRegOptions {
  double invariance_weight = 25;  // λ
  double variance_weight = 25;    // μ
  double covariance_weight = 1;   // ν
  double gamma = 1;               // γ, the deviation that features are to have
  double eps = 1e-4;              // ε
  bool sum_variances = false;     // without the ½, as in equation 6 and in solo-learn
};

// z_a, z_b [N, D], floating -> a scalar. Throws Error unless they are alike, with N ≥ 2.
Tensor vicreg_loss(const Tensor& z_a, const Tensor& z_b, const VicRegOptions& options = {});
// The same from elementary ops: the oracle of its gradient, and its second derivative.
Tensor vicreg_loss_composed(const Tensor& z_a, const Tensor& z_b, const VicRegOptions& options = {});

class VicReg final : public TwoViewObjective {
 public:
  // net: images [N, H, W, C] -> embeddings [N, D]; it must outlive this. Throws UsageError for options out of
  // range.
  explicit VicReg(Module& net, const VicRegOptions& options = {}, const TwoViewOptions& views = {});

  std::string name() const override { return "vicreg"; }
  // invariance s; variance, which μ multiplies; covariance c(Zᵃ) + c(Zᵇ): without their weights.
  std::vector<MetricInfo> metrics() const override;
  std::vector<std::pair<std::string, std::string>> options() const override;
  std::string collapse(const Metrics& means, const Metrics& start) const override;

 private:
  PartLoss whole_loss(const train::Embeddings& z) const override;
  std::unique_ptr<train::EmbeddingBatch> new_batch() const override;

  VicRegOptions options_;
};

}  // namespace lamina
