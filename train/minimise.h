// The minimum of a smooth function by L-BFGS (Liu & Nocedal: "On the Limited Memory BFGS Method for Large
// Scale Optimization", Mathematical Programming 45, 1989), which libLBFGS computes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lamina::train {

struct MinimiseOptions {
  double gradient_bound = 1e-5;  // done when no element of the gradient is larger than it
  int max_iterations = 2000;
};

struct Minimum {
  int iterations = 0;
  double value = 0;
  double gradient = 0;          // the largest element of the gradient, without its sign
  bool reached = false;         // the bound
  std::string stopped_by = {};  // what ended it where the bound was not reached
};

// The function's value at x; its gradient goes into `gradient`, which has as many elements.
using SmoothFunction = std::function<double(std::span<const double> x, std::span<double> gradient)>;

// Goes on from x, which becomes the best found. What the function throws is thrown on.
Minimum minimise(const SmoothFunction& function, std::vector<double>& x, const MinimiseOptions& options = {});

}  // namespace lamina::train
