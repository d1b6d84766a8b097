#include "core/ops/reduce.h"

#include <algorithm>
#include <numeric>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape_ops.h"

namespace lamina {

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_floating("sum_to", "the operand", x);
  check(broadcast(x.shape(), shape, "sum_to") == x.shape(),
        "sum_to: {} cannot be summed to {}, which does not broadcast to it", x, shape);
  if (shape == x.shape()) return x;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).sum_to(x, out);
  return record("sum_to", out, {x}, [from = x.shape()](const Tensor& grad, Grads& grads) {
    grads.set(0, broadcast_to(grad, from));
  });
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_floating("broadcast_to", "the operand", x);
  check(broadcast(x.shape(), shape, "broadcast_to") == shape, "broadcast_to: {} does not broadcast to {}", x,
        shape);
  if (shape == x.shape()) return x;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).broadcast_to(x, out);
  return record("broadcast_to", out, {x},
                [from = x.shape()](const Tensor& grad, Grads& grads) { grads.set(0, sum_to(grad, from)); });
}

std::vector<int> Axes::of(const Tensor& x, const char* operation) const {
  std::vector<int> axes;
  for (const int axis : axes_) {
    const int from_front = axis < 0 ? axis + x.rank() : axis;
    check(from_front >= 0 && from_front < x.rank(), "{}: axis {} of {} does not exist", operation, axis, x);
    axes.push_back(from_front);
  }
  std::sort(axes.begin(), axes.end());
  check(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "{}: an axis of {} is named twice",
        operation, x);
  return axes;
}

namespace {

// x's shape with the axes made 1, or without them.
Shape reduced(const Shape& shape, const std::vector<int>& axes, bool keep) {
  Shape result;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const bool gone = std::binary_search(axes.begin(), axes.end(), axis);
    if (!gone || keep) result.append(gone ? 1 : shape[axis]);
  }
  return result;
}

std::int64_t count_along(const Shape& shape, const std::vector<int>& axes) {
  std::int64_t count = 1;
  for (const int axis : axes) count *= shape[axis];
  return count;
}

Axes all_axes(const Tensor& x) {
  std::vector<int> axes(static_cast<std::size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// x as [rows, C], where a row holds the elements along the axes.
Tensor as_rows(const Tensor& x, const std::vector<int>& axes) {
  std::vector<int> order;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!std::binary_search(axes.begin(), axes.end(), axis)) order.push_back(axis);
  }
  order.insert(order.end(), axes.begin(), axes.end());
  const std::int64_t columns = count_along(x.shape(), axes);
  return permute(x, order).view({columns == 0 ? 0 : x.elements() / columns, columns});
}

Tensor argmax_of_rows(const Tensor& rows) {
  Tensor index = Tensor::empty({rows.size(0)}, {DType::i32, rows.device()});
  backend_for(rows.device()).argmax(rows, index);
  return index;
}

// The element at the argmax of `sign` * x.
Tensor extreme(const char* name, const Tensor& x, const Axes& axes, ReduceOptions options, double sign) {
  check_floating(name, "the operand", x);
  const std::vector<int> over = axes.of(x, name);
  check(count_along(x.shape(), over) > 0, "{}: {} has no elements along its axes", name, x);
  const Tensor rows = as_rows(x, over),
               found = argmax_of_rows(sign == 1 ? rows.detach() : rows.detach() * sign);
  return gather(rows, 1, found.view({rows.size(0), 1})).view(reduced(x.shape(), over, options.keep));
}

}  // namespace

namespace {

// sum_to() in memory of its own, where there is nothing to add up as well.
Tensor fresh_sum(const Tensor& x, const Shape& shape) {
  const Tensor sums = sum_to(x, shape);
  return sums.shares_storage(x) ? sums.clone() : sums;
}

}  // namespace

Tensor sum(const Tensor& x) { return fresh_sum(x, {}); }

Tensor sum(const Tensor& x, const Axes& axes, ReduceOptions options) {
  check_floating("sum", "the operand", x);
  const std::vector<int> over = axes.of(x, "sum");
  const Tensor sums = fresh_sum(x, reduced(x.shape(), over, true));
  return options.keep ? sums : sums.view(reduced(x.shape(), over, false));
}

Tensor mean(const Tensor& x) {
  check_floating("mean", "the operand", x);
  check(x.elements() > 0, "mean: {} has no elements", x);
  return sum(x) / static_cast<double>(x.elements());
}

Tensor mean(const Tensor& x, const Axes& axes, ReduceOptions options) {
  check_floating("mean", "the operand", x);
  const std::int64_t count = count_along(x.shape(), axes.of(x, "mean"));
  check(count > 0, "mean: {} has no elements along its axes", x);
  return sum(x, axes, options) / static_cast<double>(count);
}

Tensor var(const Tensor& x, const Axes& axes, VarianceOptions options) {
  check_floating("var", "the operand", x);
  const std::int64_t count = count_along(x.shape(), axes.of(x, "var"));
  check(count > options.correction && options.correction >= 0,
        "var: {} values of {} less the correction {} leave nothing to divide by", count, x,
        options.correction);
  const Tensor squares = square(x - mean(x, axes, {.keep = true}));
  return sum(squares, axes, {.keep = options.keep}) / static_cast<double>(count - options.correction);
}

Tensor var(const Tensor& x, VarianceOptions options) {
  check_floating("var", "the operand", x);
  return var(x, all_axes(x), options);
}

Tensor max(const Tensor& x, const Axes& axes, ReduceOptions options) {
  return extreme("max", x, axes, options, 1);
}
Tensor min(const Tensor& x, const Axes& axes, ReduceOptions options) {
  return extreme("min", x, axes, options, -1);
}

Tensor max(const Tensor& x) {
  check_floating("max", "the operand", x);
  return max(x, all_axes(x));
}

Tensor min(const Tensor& x) {
  check_floating("min", "the operand", x);
  return min(x, all_axes(x));
}

namespace {

// √Σx² of each row; d_x = g x / ‖x‖, and 0 where the norm is.
Tensor norm_to(const Tensor& x, const Shape& shape) {
  const NoGrad no_grad;
  return sqrt(sum_to(square(x), shape));
}

}  // namespace

Tensor norm(const Tensor& x, const Axes& axes, ReduceOptions options) {
  check_floating("norm", "the operand", x);
  const std::vector<int> over = axes.of(x, "norm");
  const Tensor y = norm_to(x, reduced(x.shape(), over, true));
  const Tensor result =
      record("norm", y, {x}, [x = Saved(x), y = Saved(y)](const Tensor& grad, Grads& grads) {
        const Tensor length = grads.attach_output(y);
        grads.set(0, grads.get(x) * (grad / where(equal(length, scalar_like(length, 0)), 1.0, length)));
      });
  return options.keep ? result : result.view(reduced(x.shape(), over, false));
}

Tensor norm(const Tensor& x) {
  check_floating("norm", "the operand", x);
  return norm(x, all_axes(x));
}

Tensor normalize(const Tensor& x, int axis, double eps) {
  check(eps > 0, "normalize: eps {} must be positive", eps);
  return x / maximum(norm(x, axis, {.keep = true}), eps);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  check_alike("dot", a, b);
  check(a.rank() == 1 && a.shape() == b.shape(), "dot: {} and {} are not two vectors of one length", a, b);
  return sum(a * b);
}

Tensor argmax(const Tensor& x, int axis) {
  check_floating("argmax", "the operand", x);
  const std::vector<int> over = Axes(axis).of(x, "argmax");
  check(x.size(over[0]) > 0, "argmax: {} has no elements along axis {}", x, over[0]);
  return argmax_of_rows(as_rows(x.detach(), over)).view(reduced(x.shape(), over, false));
}

Tensor is_argmax(const Tensor& x, const Tensor& labels) {
  check_floating("is_argmax", "the operand", x);
  check(x.rank() == 2 && x.size(1) > 0, "is_argmax: {} is not a matrix [rows, C] with C > 0", x);
  check(labels.defined() && labels.dtype() == DType::i32 && labels.shape() == Shape{x.size(0)} &&
            labels.device() == x.device(),
        "is_argmax: labels {} do not fit {}; expected i32 [rows] on the same device", labels, x);
  Tensor is = Tensor::empty(labels.shape(), x.options());
  backend_for(x.device()).is_argmax(x, labels, is);
  return is;
}

TopK top_k(const Tensor& x, std::int64_t k) {
  check_floating("top_k", "the operand", x);
  check(x.rank() >= 1 && k >= 1 && k <= x.size(-1), "top_k: {} of {}; expected 1 to the last axis' extent", k,
        x);
  Shape shape = x.shape();
  shape[x.rank() - 1] = k;
  const Tensor rows = x.view({x.elements() / x.size(-1), x.size(-1)});
  Tensor indices = Tensor::empty({rows.size(0), k}, {DType::i32, x.device()});
  backend_for(x.device()).top_k(rows, indices);
  return {.values = gather(rows, 1, indices).view(shape), .indices = indices.view(shape)};
}

}  // namespace lamina
