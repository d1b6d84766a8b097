#include "core/ops/shape_ops.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/autograd.h"
#include "core/ops/check_ops.h"

namespace lamina {
namespace {

// `extent` of the axis that the slice reads or fills.
void check_slice(const char* operation, const Tensor& x, const Slice& s, std::int64_t extent) {
  check(s.axis >= 0 && s.axis < x.rank(), "{}: axis {} of {} does not exist", operation, s.axis, x);
  const std::int64_t last = s.start + (s.count - 1) * s.step;
  check(s.start >= 0 && s.count >= 1 && s.step >= 1 && last < extent,
        "{}: start {}, count {}, step {} does not lie in an axis of extent {} ({})", operation, s.start,
        s.count, s.step, extent, x);
}

int checked_axis(const char* operation, const Tensor& x, int axis) {
  const int from_front = axis < 0 ? axis + x.rank() : axis;
  check(from_front >= 0 && from_front < x.rank(), "{}: axis {} of {} does not exist", operation, axis, x);
  return from_front;
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  check_defined("reshape", "the operand", x);
  return x.view(shape);
}

Tensor flatten(const Tensor& x, int first) {
  check_defined("flatten", "the operand", x);
  if (x.rank() == 0) return x.view({1});
  const int from = checked_axis("flatten", x, first);
  Shape shape(x.shape().begin(), x.shape().begin() + from);
  shape.append(x.shape().elements(from, x.rank()));
  return x.view(shape);
}

Tensor slice(const Tensor& x, const Slice& s) {
  check_defined("slice", "the operand", x);
  check_slice("slice", x, s, s.axis >= 0 && s.axis < x.rank() ? x.size(s.axis) : 0);
  Shape shape = x.shape();
  shape[s.axis] = s.count;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).read_slice(x, s, out);
  return record("slice", out, {x}, [s, extent = x.size(s.axis)](const Tensor& grad, Grads& grads) {
    grads.set(0, embed(grad, s, extent));
  });
}

Tensor embed(const Tensor& x, const Slice& s, std::int64_t extent) {
  check_defined("embed", "the operand", x);
  check_slice("embed", x, s, extent);
  check(x.size(s.axis) == s.count, "embed: {} has {} elements along axis {}, the slice {}", x, x.size(s.axis),
        s.axis, s.count);
  Shape shape = x.shape();
  shape[s.axis] = extent;
  Tensor out = Tensor::empty(shape, x.options());
  backend_for(x.device()).embed(x, s, out);
  return record("embed", out, {x}, [s](const Tensor& grad, Grads& grads) { grads.set(0, slice(grad, s)); });
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  check_defined("permute", "the operand", x);
  const int rank = x.rank();
  std::vector<int> axes, back(static_cast<std::size_t>(rank), -1);
  Shape shape;
  for (const int named : order) {
    const int axis = checked_axis("permute", x, named);
    check(back[static_cast<std::size_t>(axis)] < 0, "permute: axis {} of {} is named twice", named, x);
    back[static_cast<std::size_t>(axis)] = static_cast<int>(axes.size());
    axes.push_back(axis);
    shape.append(x.size(axis));
  }
  check(shape.rank() == rank, "permute: {} axes are named, {} has {}", shape.rank(), x, rank);
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  Tensor out = Tensor::empty(shape, x.options());
  if (x.elements() > 0) backend_for(x.device()).permute(x, axes, out);
  return record("permute", out, {x},
                [back](const Tensor& grad, Grads& grads) { grads.set(0, permute(grad, back)); });
}

Tensor transpose(const Tensor& x, int a, int b) {
  check_defined("transpose", "the operand", x);
  std::vector<int> order(static_cast<std::size_t>(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[static_cast<std::size_t>(checked_axis("transpose", x, a))],
            order[static_cast<std::size_t>(checked_axis("transpose", x, b))]);
  return permute(x, order);
}

Tensor concat(std::span<const Tensor> parts, int along) {
  check(!parts.empty(), "concat: no tensors given; expected at least one");
  const Tensor& first = parts.front();
  check_defined("concat", "the first tensor", first);
  const int axis = checked_axis("concat", first, along);
  Shape shape = first.shape();
  shape[axis] = 0;
  for (const Tensor& part : parts) {
    check_defined("concat", "a tensor", part);
    Shape expected = first.shape();
    if (part.rank() == first.rank()) expected[axis] = part.size(axis);
    check(part.shape() == expected && part.dtype() == first.dtype() && part.device() == first.device(),
          "concat: {} and {} differ in more than axis {}", first, part, axis);
    shape[axis] += part.size(axis);
  }
  Tensor out = Tensor::empty(shape, first.options());
  std::vector<Slice> places;
  std::int64_t start = 0;
  for (const Tensor& part : parts) {
    places.push_back({.axis = axis, .start = start, .count = part.size(axis)});
    if (part.elements() > 0) backend_for(out.device()).write_slice(part, places.back(), out);
    start += part.size(axis);
  }
  return record("concat", out, parts, [places](const Tensor& grad, Grads& grads) {
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (grads.wanted(static_cast<int>(i)) && places[i].count > 0)
        grads.set(static_cast<int>(i), slice(grad, places[i]));
    }
  });
}

Tensor concat(std::initializer_list<Tensor> parts, int axis) {
  return concat(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}

Tensor stack(std::span<const Tensor> parts, int axis) {
  check(!parts.empty(), "stack: no tensors given; expected at least one");
  check_defined("stack", "the first tensor", parts.front());
  const int rank = parts.front().rank() + 1, at = axis < 0 ? axis + rank : axis;
  check(at >= 0 && at < rank, "stack: axis {} cannot be made of {}", axis, parts.front());
  std::vector<Tensor> rows;
  for (const Tensor& part : parts) {
    check_defined("stack", "a tensor", part);
    check(part.shape() == parts.front().shape(), "stack: {} and {} differ in shape", parts.front(), part);
    Shape shape(part.shape().begin(), part.shape().begin() + at);
    shape.append(1);
    for (int a = at; a < part.rank(); ++a) shape.append(part.size(a));
    rows.push_back(part.view(shape));
  }
  return concat(rows, at);
}

Tensor stack(std::initializer_list<Tensor> parts, int axis) {
  return stack(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}

namespace {

void check_index(const char* operation, const Tensor& x, int axis, const Tensor& index,
                 const Shape& expected) {
  check(index.defined() && index.dtype() == DType::i32 && index.device() == x.device() &&
            (index.rank() == 1 || index.shape() == expected),
        "{}: index {} does not fit {} along axis {}; expected i32 {} on the same device", operation, index, x,
        axis, expected);
}

// Along `axis` of x, which is checked; index is [K], or shaped like the result.
Tensor look_up(const Tensor& x, int axis, const Tensor& index, const Shape& shape) {
  Tensor out = Tensor::empty(shape, x.options());
  if (out.elements() > 0) backend_for(x.device()).gather(x, axis, index, out);
  return record("gather", out, {x},
                [index = Saved(index), axis, extent = x.size(axis)](const Tensor& grad, Grads& grads) {
                  grads.set(0, scatter_add(grad, axis, grads.get(index), extent));
                });
}

}  // namespace

Tensor gather(const Tensor& x, int along, const Tensor& index) {
  check_defined("gather", "the operand", x);
  const int axis = checked_axis("gather", x, along);
  Shape expected = x.shape();
  if (index.rank() == x.rank()) expected[axis] = index.size(axis);
  check(index.shape() == expected, "gather: index {} is not shaped like {} but for axis {}", index, x, axis);
  check_index("gather", x, axis, index, expected);
  return look_up(x, axis, x.rank() == 1 ? index.view({index.elements()}) : index, expected);
}

Tensor index_select(const Tensor& x, int along, const Tensor& index) {
  check_defined("index_select", "the operand", x);
  const int axis = checked_axis("index_select", x, along);
  check(index.defined() && index.rank() == 1, "index_select: index {} is not a vector, i32 [K]", index);
  check_index("index_select", x, axis, index, index.shape());
  Shape shape = x.shape();
  shape[axis] = index.size(0);
  return look_up(x, axis, index, shape);
}

Tensor scatter_add(const Tensor& x, int along, const Tensor& index, std::int64_t extent) {
  check_floating("scatter_add", "the operand", x);
  const int axis = checked_axis("scatter_add", x, along);
  check(extent >= 0, "scatter_add: extent {} is negative", extent);
  check_index("scatter_add", x, axis, index, x.shape());
  check(index.rank() != 1 || index.size(0) == x.size(axis), "scatter_add: {} indices for the {} rows of {}",
        index.elements(), x.size(axis), x);
  Shape shape = x.shape();
  shape[axis] = extent;
  Tensor out = Tensor::empty(shape, x.options());
  if (out.elements() > 0) backend_for(x.device()).scatter_add(x, axis, index, out);
  return record("scatter_add", out, {x},
                [index = Saved(index), axis, shape = x.shape()](const Tensor& grad, Grads& grads) {
                  grads.set(0, look_up(grad, axis, grads.get(index), shape));
                });
}

}  // namespace lamina
