#include "core/ops/shape_ops.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"

namespace lamina {
namespace {

// `extent` of the axis that the slice reads or fills.
void check_slice(const char* operation, const Tensor& x, const Slice& s, std::int64_t extent) {
  check(s.axis >= 0 && s.axis < x.rank(), "{}: axis {} of {} does not exist", operation, s.axis, x.str());
  const std::int64_t last = s.start + (s.count - 1) * s.step;
  check(s.start >= 0 && s.count >= 1 && s.step >= 1 && last < extent,
        "{}: start {}, count {}, step {} does not lie in an axis of extent {} ({})", operation, s.start,
        s.count, s.step, extent, x.str());
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  check_defined("reshape", "the operand", x);
  return record("reshape", x.view(shape), {x},
                [from = x.shape()](const Tensor& grad, Grads& grads) { grads.set(0, reshape(grad, from)); });
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
  check(x.size(s.axis) == s.count, "embed: {} has {} elements along axis {}, the slice {}", x.str(),
        x.size(s.axis), s.axis, s.count);
  Shape shape = x.shape();
  shape[s.axis] = extent;
  Tensor out = Tensor::zeros(shape, x.options());
  backend_for(x.device()).write_slice(x, s, out);
  return record("embed", out, {x}, [s](const Tensor& grad, Grads& grads) { grads.set(0, slice(grad, s)); });
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  check(!parts.empty(), "concat: no tensors given; expected at least one");
  const Tensor& first = parts.front();
  check_defined("concat", "the first tensor", first);
  check(axis >= 0 && axis < first.rank(), "concat: axis {} of {} does not exist", axis, first.str());
  Shape shape = first.shape();
  shape[axis] = 0;
  for (const Tensor& part : parts) {
    check_defined("concat", "a tensor", part);
    Shape expected = first.shape();
    if (part.rank() == first.rank()) expected[axis] = part.size(axis);
    check(part.shape() == expected && part.dtype() == first.dtype() && part.device() == first.device(),
          "concat: {} and {} differ in more than axis {}", first.str(), part.str(), axis);
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

}  // namespace lamina
