// Sums, means, variances, maxima and norms, over all elements or along axes; and the inverse of a sum,
// broadcasting.
#pragma once

#include <initializer_list>
#include <vector>

#include "core/tensor.h"

namespace lamina {

// Axes of a tensor, each at most once, in any order; negative ones count from the back.
class Axes {
 public:
  Axes(int axis) : axes_{axis} {}                          // NOLINT(google-explicit-constructor)
  Axes(std::initializer_list<int> axes) : axes_(axes) {}   // NOLINT(google-explicit-constructor)
  Axes(std::vector<int> axes) : axes_(std::move(axes)) {}  // NOLINT(google-explicit-constructor)
  // From the front, rising. Throws Error, naming the operation, for axes that x lacks or that occur twice.
  std::vector<int> of(const Tensor& x, const char* operation) const;

 private:
  std::vector<int> axes_;
};

struct ReduceOptions {
  bool keep = false;  // the axes, with extent 1, so that the result broadcasts against x
};

Tensor sum(const Tensor& x);   // to a scalar
Tensor mean(const Tensor& x);  // to a scalar
Tensor sum(const Tensor& x, const Axes& axes, ReduceOptions options = {});
Tensor mean(const Tensor& x, const Axes& axes, ReduceOptions options = {});
// These two give x itself where the shape is x's already.
Tensor sum_to(const Tensor& x, const Shape& shape);        // shape must broadcast to x's
Tensor broadcast_to(const Tensor& x, const Shape& shape);  // x's shape must broadcast to it

struct VarianceOptions {
  int correction = 1;  // the squares are divided by n - correction: 1 is unbiased, 0 the batch's own variance
  bool keep = false;
};
Tensor var(const Tensor& x, const Axes& axes, VarianceOptions options = {});
Tensor var(const Tensor& x, VarianceOptions options = {});  // of all elements

// The largest and the smallest element; the gradient goes to the first of equals; a NaN wins.
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
Tensor max(const Tensor& x, const Axes& axes, ReduceOptions options = {});
Tensor min(const Tensor& x, const Axes& axes, ReduceOptions options = {});

// The Euclidean norm √Σx²; its derivative at 0 is 0.
Tensor norm(const Tensor& x);
Tensor norm(const Tensor& x, const Axes& axes, ReduceOptions options = {});
// x / max(‖x‖, eps), of each vector along the axis.
Tensor normalize(const Tensor& x, int axis = -1, double eps = 1e-12);
Tensor dot(const Tensor& a, const Tensor& b);  // of two vectors

Tensor argmax(const Tensor& x, int axis = -1);  // i32, a constant; the first of equals; a NaN wins
// [rows, C], labels i32 [rows] -> [rows]: 1 where the argmax is the label, else 0; a constant, as comparisons
// are. Its sum counts right predictions without waiting for the device.
Tensor is_argmax(const Tensor& x, const Tensor& labels);

// The k largest along the last axis, the largest first, and where they are. Of equals the first comes first;
// NaNs come before all.
struct TopK {
  Tensor values;   // [..., k], differentiable
  Tensor indices;  // i32 [..., k]
};
TopK top_k(const Tensor& x, std::int64_t k);

}  // namespace lamina
