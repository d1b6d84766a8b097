// Weighted k-nearest neighbours on the features of a frozen network (Wu, Xiong, Yu & Lin: "Unsupervised
// Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, §3.4): how well classes lie
// together, without anything trained.
//
//   s_i = cos(f, f_i), of a query and each image of the bank
//   score of class c = Σ exp(s_i / τ), over those of the k nearest i that are of class c
#pragma once

#include <cstdint>
#include <vector>

#include "train/features.h"

namespace lamina {

struct KnnOptions {
  std::int64_t k = 200;      // of a smaller bank all
  double temperature = 0.1;  // τ, above 0
};

struct KnnResult {
  double accuracy = 0;  // 0 … 1, over all queries
  std::int64_t correct = 0, samples = 0;
  std::int64_t k = 0;  // that were asked: at most the bank's size
  double temperature = 0;
  std::vector<std::int32_t> predictions = {};  // a class for each query
};

// Classifies every query by the images of the bank. Cosines are exact to f64; of equally near images the one
// of the smaller class is nearer, and of equal scores the smaller class wins. So neither the bank's order nor
// the number of threads changes a prediction. The cosine of a feature vector that is all zeros is 0. Throws
// UsageError for options out of range, Error if bank or queries lack labels, have features that are not
// finite, or differ in width.
KnnResult knn(const Features& bank, const Features& queries, const KnnOptions& options = {});

}  // namespace lamina
