#include "core/ops/conv.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"

namespace lamina {
namespace {

// The output's shape; throws unless x and weight fit together.
Shape output_shape(const char* name, const Shape& x, const Shape& weight, const Conv2dOptions& o) {
  check(x.rank() == 4 && weight.rank() == 4,
        "{}: x {} and weight {} must have 4 dimensions: [N, H, W, in], [out, kh, kw, in]", name, x.str(),
        weight.str());
  check(x[3] == weight[3],
        "{}: x {} has {} channels, weight {} expects {}; images are NHWC, weights [out, kh, kw, in]", name,
        x.str(), x[3], weight.str(), weight[3]);
  check(o.stride >= 1 && o.padding >= 0, "{}: stride {} must be at least 1 and padding {} at least 0", name,
        o.stride, o.padding);
  check(weight[1] >= 1 && weight[2] >= 1, "{}: weight {} has an empty kernel", name, weight.str());
  const std::int64_t height = x[1] + 2 * o.padding - weight[1], width = x[2] + 2 * o.padding - weight[2];
  check(height >= 0 && width >= 0, "{}: kernel of {} is larger than x {} padded by {}", name, weight.str(),
        x.str(), o.padding);
  return {x[0], height / o.stride + 1, width / o.stride + 1, weight[0]};
}

void check_grad(const char* name, const Tensor& grad, const Shape& x, const Shape& weight,
                const Conv2dOptions& o) {
  const Shape expected = output_shape(name, x, weight, o);
  check(grad.shape() == expected, "{}: grad {} is not the output's shape {} for x {}, weight {}", name,
        grad.str(), expected.str(), x.str(), weight.str());
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& o) {
  check_alike("conv2d", x, weight);
  Tensor y = Tensor::empty(output_shape("conv2d", x.shape(), weight.shape(), o), x.options());
  backend_for(x.device()).conv2d(x, weight, o, y);
  return record("conv2d", y, {x, weight}, [=](const Tensor& grad, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, conv2d_grad_input(grad, weight, x.shape(), o));
    if (grads.wanted(1)) grads.set(1, conv2d_grad_weight(grad, x, weight.shape(), o));
  });
}

// Linear in grad and in weight, as conv2d is in x and weight: for every z shaped like x,
// <conv2d_grad_input(grad, weight), z> = <grad, conv2d(z, weight)>.
Tensor conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Shape& x_shape,
                         const Conv2dOptions& o) {
  check_alike("conv2d_grad_input", grad, weight);
  check_grad("conv2d_grad_input", grad, x_shape, weight.shape(), o);
  Tensor grad_x = Tensor::empty(x_shape, grad.options());
  backend_for(grad.device()).conv2d_grad_input(grad, weight, o, grad_x);
  return record("conv2d_grad_input", grad_x, {grad, weight}, [=](const Tensor& z, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, conv2d(z, weight, o));
    if (grads.wanted(1)) grads.set(1, conv2d_grad_weight(grad, z, weight.shape(), o));
  });
}

// Linear in grad and in x: <conv2d_grad_weight(grad, x), v> = <grad, conv2d(x, v)> for every v shaped like
// weight.
Tensor conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Shape& weight_shape,
                          const Conv2dOptions& o) {
  check_alike("conv2d_grad_weight", grad, x);
  check_grad("conv2d_grad_weight", grad, x.shape(), weight_shape, o);
  Tensor grad_weight = Tensor::empty(weight_shape, grad.options());
  backend_for(grad.device()).conv2d_grad_weight(grad, x, o, grad_weight);
  return record("conv2d_grad_weight", grad_weight, {grad, x}, [=](const Tensor& v, Grads& grads) {
    if (grads.wanted(0)) grads.set(0, conv2d(x, v, o));
    if (grads.wanted(1)) grads.set(1, conv2d_grad_input(grad, v, x.shape(), o));
  });
}

}  // namespace lamina
