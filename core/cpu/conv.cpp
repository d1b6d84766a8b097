// Convolutions of the CPU backend: reads the problem off the tensors and hands it to a kernel.
#include "core/cpu/conv_direct.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/winograd.h"

namespace lamina {
namespace {

cpu::ConvShape conv_shape(const Tensor& x, const Tensor& weight, const Tensor& y,
                          const Conv2dOptions& options) {
  return {.images = x.size(0),
          .in_height = x.size(1),
          .in_width = x.size(2),
          .in_channels = x.size(3),
          .out_height = y.size(1),
          .out_width = y.size(2),
          .out_channels = y.size(3),
          .kernel_height = weight.size(1),
          .kernel_width = weight.size(2),
          .stride = options.stride,
          .padding = options.padding};
}

template <typename T>
bool use_winograd(const cpu::ConvShape& shape) {
  return LAMINA_WINOGRAD != 0 && cpu::winograd_suits<T>(shape);
}

}  // namespace

void CpuBackend::conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) {
  visit_floating(x.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    const cpu::ConvShape shape = conv_shape(x, weight, y, options);
    const auto kernel = use_winograd<T>(shape) ? cpu::conv_winograd<T> : cpu::conv_direct<T>;
    kernel(shape, x.data<T>(), weight.data<T>(), y.data<T>(), allocator_);
  });
}

namespace {

void grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options, Tensor& grad_x,
                bool add, Allocator& allocator) {
  visit_floating(grad.dtype(), "conv2d_grad_input", [&](auto zero) {
    using T = decltype(zero);
    const cpu::ConvShape shape = conv_shape(grad_x, weight, grad, options);
    const auto kernel =
        use_winograd<T>(shape) ? cpu::conv_winograd_grad_input<T> : cpu::conv_direct_grad_input<T>;
    kernel(shape, grad.data<T>(), weight.data<T>(), grad_x.data<T>(), add, allocator);
  });
}

}  // namespace

void CpuBackend::conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                   Tensor& grad_x) {
  grad_input(grad, weight, options, grad_x, /*add=*/false, allocator_);
}

void CpuBackend::conv2d_add_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                       Tensor& sum) {
  grad_input(grad, weight, options, sum, /*add=*/true, allocator_);
}

void CpuBackend::conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                    Tensor& grad_weight) {
  visit_floating(grad.dtype(), "conv2d_grad_weight", [&](auto zero) {
    using T = decltype(zero);
    const cpu::ConvShape shape = conv_shape(x, grad_weight, grad, options);
    const auto kernel =
        use_winograd<T>(shape) ? cpu::conv_winograd_grad_weight<T> : cpu::conv_direct_grad_weight<T>;
    kernel(shape, grad.data<T>(), x.data<T>(), grad_weight.data<T>(), allocator_);
  });
}

}  // namespace lamina
