// Mixup (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", eq. 2): x̃ = λ xᵢ + (1 − λ) xⱼ, with
// λ ~ Beta(α, α), one for a batch, and j a permutation of the batch, as in the authors' code.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"
#include "data/part.h"

namespace lamina::train {

struct Mixup {
  double lambda = 1;
  std::vector<std::int64_t> partners;  // j of each sample i of the part
};

// A pure function of alpha and the part's seed, epoch, batch and size. Parts of one batch share λ and are
// permuted within themselves. alpha: 1e-6 to 1e6.
Mixup draw_mixup(double alpha, const data::Part& part);

// f32 [n, …] -> λ x + (1 − λ) x[partners].
Tensor mix(const Tensor& x, const Mixup& mixup);

// x[rows], on the CPU and without a history.
Tensor permuted(const Tensor& x, const std::vector<std::int64_t>& rows);

}  // namespace lamina::train
