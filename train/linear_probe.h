// How much of the classes a linear map can read off the features of a frozen network: multinomial logistic
// regression, solved to its optimum, so that nothing of the number depends on how the probe was trained.
//
//   L(W, b) = 1/N Σ_i −log softmax(W x_i + b)_{y_i} + λ/2 ‖W‖²
//
// of standardised features x = (f − mean) / std over the training images; a feature that does not vary, as
// far as f32 can tell, is only centred. The bias b is not penalised. It is the optimum that scikit-learn's
// make_pipeline(StandardScaler(), LogisticRegression(C=1/(λN))) has.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/features.h"

namespace lamina {

struct LinearProbeOptions {
  std::optional<double> l2 = {};  // λ, above 0; unset: the best of linear_probe_grid() on held-out images
  // Which tenth of the training images is held out for that.
  std::uint64_t seed = 1;
  double gradient_bound = 1e-5;              // on every element of ∂L/∂(W, b)
  int max_iterations = 2000;                 // of each fit
  std::function<void()> on_evaluation = {};  // of L, each; what it throws is thrown on
};

// λ from 1 to 10⁻⁶, by powers of ten: from the strongest to the weakest.
const std::vector<double>& linear_probe_grid();

struct LinearFit {
  double l2 = 0;
  int iterations = 0;
  double gradient = 0;          // the largest element, without its sign
  bool converged = false;       // it is within the bound
  std::string stopped_by = {};  // what ended the search where it did not converge
  double accuracy = 0;          // 0 … 1, on the held-out images; of the final fit on the training images
};

struct LinearProbe {
  double top1 = 0, top5 = 0;  // 0 … 1, on the test features; of fewer than 5 classes, top5 is 1
  std::int64_t correct = 0, samples = 0;
  int classes = 0;  // labels of the training features: 0 … classes − 1. Others of the test's are never right
  std::int64_t width = 0;
  LinearFit fit = {};                    // on all training images
  std::vector<LinearFit> held_out = {};  // on nine tenths, each λ of the grid; empty where λ was given
  Tensor weight = {}, bias = {};  // f64 [classes, width], [classes]: logits = W f + b, f not standardised
};

// Fits on `train` and measures on `test`. Without `l2`, nine tenths of the training images are fitted for
// each λ of the grid, each from the one before; the λ that is right most often on the held-out tenth, of
// equal ones the strongest, is fitted on all. Bits do not depend on the number of threads. A fit that ends
// short of the bound says so in its LinearFit. Throws UsageError for options out of range, Error for features
// that check_features() refuses, that differ in width, or with fewer than 2 classes or 10 images to train
// with.
LinearProbe linear_probe(const Features& train, const Features& test, const LinearProbeOptions& options = {});

}  // namespace lamina
