// Losses. Of classification: logits [N, C], and labels i32 [N] in 0 … C-1 or targets [N, C] in the logits'
// dtype: the probability of each class, which may have a gradient.
#pragma once

#include "core/tensor.h"

namespace lamina {

struct CrossEntropyOptions {
  double label_smoothing = 0;  // target = (1 - s) * one_hot + s / C (Szegedy et al. 2016)
};

Tensor softmax(const Tensor& logits);      // over the last axis
Tensor log_softmax(const Tensor& logits);  // over the last axis
// f32 [N, classes], on the labels' device: 1 in the column of the label, else 0. No gradient.
Tensor one_hot(const Tensor& labels, int classes);
Tensor cross_entropy_per_sample(const Tensor& logits, const Tensor& labels,
                                const CrossEntropyOptions& options = {});  // [N]
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options = {});  // their mean

Tensor mse_loss(const Tensor& x, const Tensor& target);  // mean (x - target)², of equal shapes

}  // namespace lamina
