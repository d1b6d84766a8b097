// Convolutions by cuDNN.
#include "core/cuda/alignment.h"
#include "core/cuda/gpu.h"

namespace lamina {
namespace {

constexpr std::size_t cudnn_alignment = 16;  // what the widest load of a thread wants

cuda::ConvProblem problem_of(cuda::ConvDirection direction, const Tensor& x, const Tensor& weight,
                             const Tensor& y, const Conv2dOptions& options) {
  const std::size_t alignment = cuda::common_alignment({x.raw(), weight.raw(), y.raw()}, cudnn_alignment);
  return {.direction = direction,
          .x = x,
          .weight = weight,
          .y = y,
          .stride = options.stride,
          .padding = options.padding,
          .alignment = static_cast<std::int64_t>(alignment),
          .tf32 = tf32(),
          .deterministic = deterministic()};
}

// An output without elements, or one whose elements are sums over nothing.
bool is_empty(const Tensor& x, const Tensor& weight, const Tensor& y) {
  return x.elements() == 0 || weight.elements() == 0 || y.elements() == 0;
}

}  // namespace

void CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) {
  if (is_empty(x, weight, y)) return fill(y, 0);
  gpu_->convolutions.run(problem_of(cuda::ConvDirection::forward, x, weight, y, options),
                         {x.raw(), weight.raw(), y.raw()}, {allocator(), stream()});
}

void CudaBackend::conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                    Tensor& grad_x) {
  if (is_empty(grad_x, weight, grad)) return fill(grad_x, 0);
  gpu_->convolutions.run(problem_of(cuda::ConvDirection::grad_input, grad_x, weight, grad, options),
                         {grad_x.raw(), weight.raw(), grad.raw()}, {allocator(), stream()});
}

void CudaBackend::conv2d_add_grad_input(const Tensor& grad, const Tensor& weight,
                                        const Conv2dOptions& options, Tensor& sum) {
  if (is_empty(sum, weight, grad)) return;
  cuda::ConvProblem problem = problem_of(cuda::ConvDirection::grad_input, sum, weight, grad, options);
  problem.adds = true;
  gpu_->convolutions.run(problem, {sum.raw(), weight.raw(), grad.raw()}, {allocator(), stream()});
}

// cuDNN has no engine that writes f32 from bf16 inputs: the gradient is rounded once, then widened.
void CudaBackend::conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                     Tensor& grad_weight) {
  if (is_empty(x, grad_weight, grad)) return fill(grad_weight, 0);
  const bool widen = grad_weight.dtype() != x.dtype();
  const Tensor result = widen ? Tensor::empty(grad_weight.shape(), x.options()) : grad_weight;
  gpu_->convolutions.run(problem_of(cuda::ConvDirection::grad_weight, x, result, grad, options),
                         {x.raw(), result.raw(), grad.raw()}, {allocator(), stream()});
  if (widen) cast(result, grad_weight);
}

}  // namespace lamina
