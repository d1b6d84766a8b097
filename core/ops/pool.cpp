#include "core/ops/pool.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina {
namespace {

// `index` tells which pixel of x each element of y came from, so these two are each other's gradient.
Tensor max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& o,
                          const Shape& x_shape);

Tensor max_pool2d_gather(const Tensor& x, const Tensor& index, const Pool2dOptions& o) {
  Tensor y = Tensor::empty(index.shape(), x.options());
  backend_for(x.device()).max_pool2d_gather(x, index, y);
  return record("max_pool2d_gather", y, {x}, [index, o, shape = x.shape()](const Tensor& grad, Grads& grads) {
    grads.set(0, max_pool2d_scatter(grad, index, o, shape));
  });
}

Tensor max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& o,
                          const Shape& x_shape) {
  Tensor grad_x = Tensor::empty(x_shape, grad.options());
  backend_for(grad.device()).max_pool2d_scatter(grad, index, o, grad_x);
  return record("max_pool2d_scatter", grad_x, {grad},
                [index, o](const Tensor& z, Grads& grads) { grads.set(0, max_pool2d_gather(z, index, o)); });
}

// The shape of y; throws unless the windows fit.
Shape pooled_shape(const char* name, const Tensor& x, const Pool2dOptions& o) {
  check_floating(name, "x", x);
  check(x.rank() == 4 && x.size(1) >= 1 && x.size(2) >= 1, "{}: x {} is not [N, H, W, C] with pixels", name,
        x);
  check(o.size >= 1 && o.stride >= 1 && o.padding >= 0 && 2 * o.padding <= o.size,
        "{}: size {}, stride {}, padding {} is not possible; expected size and stride of at least 1 and "
        "padding of "
        "at most half the size",
        name, o.size, o.stride, o.padding);
  const std::int64_t height = x.size(1) + 2 * o.padding - o.size, width = x.size(2) + 2 * o.padding - o.size;
  check(height >= 0 && width >= 0, "{}: window {} is larger than x {} padded by {}", name, o.size, x,
        o.padding);
  return {x.size(0), height / o.stride + 1, width / o.stride + 1, x.size(3)};
}

// Linear in grad, as avg_pool2d is in x, and each other's gradient.
Tensor avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& o, const Shape& x_shape) {
  Tensor grad_x = Tensor::empty(x_shape, grad.options());
  backend_for(grad.device()).avg_pool2d_grad(grad, o, grad_x);
  return record("avg_pool2d_grad", grad_x, {grad},
                [o](const Tensor& z, Grads& grads) { grads.set(0, avg_pool2d(z, o)); });
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& o) {
  const Shape shape = pooled_shape("max_pool2d", x, o);
  Tensor y = Tensor::empty(shape, x.options()), index = Tensor::empty(shape, {DType::i32, x.device()});
  backend_for(x.device()).max_pool2d(x, o, y, index);
  return record("max_pool2d", y, {x}, [index, o, x_shape = x.shape()](const Tensor& grad, Grads& grads) {
    grads.set(0, max_pool2d_scatter(grad, index, o, x_shape));
  });
}

Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& o) {
  Tensor y = Tensor::empty(pooled_shape("avg_pool2d", x, o), x.options());
  backend_for(x.device()).avg_pool2d(x, o, y);
  return record("avg_pool2d", y, {x}, [o, x_shape = x.shape()](const Tensor& grad, Grads& grads) {
    grads.set(0, avg_pool2d_grad(grad, o, x_shape));
  });
}

Tensor global_avg_pool(const Tensor& x) {
  check_floating("global_avg_pool", "x", x);
  check(x.rank() == 4 && x.size(1) * x.size(2) > 0, "global_avg_pool: x {} is not [N, H, W, C] with pixels",
        x);
  const std::int64_t images = x.size(0), pixels = x.size(1) * x.size(2), channels = x.size(3);
  const Tensor sums = sum_to(reshape(x, {images, pixels, channels}), {images, 1, channels});
  return reshape(sums, {images, channels}) / static_cast<double>(pixels);
}

}  // namespace lamina
