#include "core/ops/conv.h"

#include "core/autograd.h"
#include "core/ops/check_ops.h"
#include "core/ops/shape_ops.h"

namespace lamina {
namespace {

// The output's shape; throws unless x and weight fit together.
Shape output_shape(const char* name, const Shape& x, const Shape& weight, const Conv2dOptions& o) {
  check(x.rank() == 4 && weight.rank() == 4,
        "{}: x {} and weight {} must have 4 dimensions: [N, H, W, in], [out, kh, kw, in]", name, x, weight);
  check(x[3] == weight[3],
        "{}: x {} has {} channels, weight {} expects {}; images are NHWC, weights [out, kh, kw, in]", name, x,
        x[3], weight, weight[3]);
  check(o.stride >= 1 && o.padding >= 0, "{}: stride {} must be at least 1 and padding {} at least 0", name,
        o.stride, o.padding);
  check(weight[1] >= 1 && weight[2] >= 1, "{}: weight {} has an empty kernel", name, weight);
  const std::int64_t height = x[1] + 2 * o.padding - weight[1], width = x[2] + 2 * o.padding - weight[2];
  check(height >= 0 && width >= 0, "{}: kernel of {} is larger than x {} padded by {}", name, weight, x,
        o.padding);
  return {x[0], height / o.stride + 1, width / o.stride + 1, weight[0]};
}

void check_grad(const char* name, const Tensor& grad, const Shape& x, const Shape& weight,
                const Conv2dOptions& o) {
  const Shape expected = output_shape(name, x, weight, o);
  check(grad.shape() == expected, "{}: grad {} is not the output's shape {} for x {}, weight {}", name, grad,
        expected, x, weight);
}

// The kernel with dilation - 1 zeros between its rows and columns.
Tensor dilated(const Tensor& weight, std::int64_t dilation) {
  Tensor spread = weight;
  for (const int axis : {1, 2}) {
    const std::int64_t size = weight.size(axis);
    spread = embed(spread, {.axis = axis, .count = size, .step = dilation}, (size - 1) * dilation + 1);
  }
  return spread;
}

// Each group of channels by itself.
Tensor grouped(const Tensor& x, const Tensor& weight, const Conv2dOptions& o) {
  check(o.groups >= 1 && x.rank() == 4 && weight.rank() == 4 && x.size(3) == o.groups * weight.size(3) &&
            weight.size(0) % o.groups == 0,
        "conv2d: x {} and weight {} cannot be parted into {} groups; expected [N, H, W, groups * in] and "
        "[groups * out, kh, kw, in]",
        x, weight, o.groups);
  const std::int64_t in = weight.size(3), out = weight.size(0) / o.groups;
  std::vector<Tensor> parts;
  for (std::int64_t group = 0; group < o.groups; ++group) {
    parts.push_back(conv2d(slice(x, {.axis = 3, .start = group * in, .count = in}),
                           weight.rows(group * out, out), {.stride = o.stride, .padding = o.padding}));
  }
  return concat(parts, 3);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& o) {
  check_alike("conv2d", x, weight);
  check(o.dilation >= 1, "conv2d: dilation {} must be at least 1", o.dilation);
  if (o.dilation > 1 && weight.rank() == 4) {
    Conv2dOptions plain = o;
    plain.dilation = 1;
    return conv2d(x, dilated(weight, o.dilation), plain);
  }
  if (o.groups != 1) return grouped(x, weight, o);
  Tensor y = Tensor::empty(output_shape("conv2d", x.shape(), weight.shape(), o), x.options());
  backend_for(x.device()).conv2d(x, weight, o, y);
  return record("conv2d", y, {x, weight},
                [x = saved_for(weight, x), weight = saved_for(x, weight), from = x.shape(),
                 kernel = weight.shape(), o](const Tensor& grad, Grads& grads) {
                  if (grads.wanted(0)) {
                    Tensor sum = grads.take_sum(0);
                    if (sum.defined())
                      backend_for(grad.device()).conv2d_add_grad_input(grad, grads.get(weight), o, sum);
                    else
                      sum = conv2d_grad_input(grad, grads.get(weight), from, o);
                    grads.set(0, sum);
                  }
                  if (grads.wanted(1)) grads.set(1, conv2d_grad_weight(grad, grads.get(x), kernel, o));
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
  return record("conv2d_grad_input", grad_x, {grad, weight},
                [grad = saved_for(weight, grad), weight = saved_for(grad, weight), kernel = weight.shape(),
                 o](const Tensor& z, Grads& grads) {
                  if (grads.wanted(0)) grads.set(0, conv2d(z, grads.get(weight), o));
                  if (grads.wanted(1)) grads.set(1, conv2d_grad_weight(grads.get(grad), z, kernel, o));
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
  return record("conv2d_grad_weight", grad_weight, {grad, x},
                [grad = saved_for(x, grad), x = saved_for(grad, x), from = x.shape(), o](const Tensor& v,
                                                                                         Grads& grads) {
                  if (grads.wanted(0)) grads.set(0, conv2d(grads.get(x), v, o));
                  if (grads.wanted(1)) grads.set(1, conv2d_grad_input(grads.get(grad), v, from, o));
                });
}

}  // namespace lamina
