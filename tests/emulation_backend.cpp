// Stands in for a GPU: the kernels of core/cuda compiled for the host, on host memory. What NVIDIA's
// libraries do on a GPU (products, convolutions) the CPU does here.
#include <cstring>

#include "core/cuda/cuda_backend.h"

namespace lamina {

struct CudaBackend::Gpu {
  HostAllocator allocator;
};

CudaBackend::CudaBackend(int index) : index_(index), gpu_(std::make_unique<Gpu>()) {}
CudaBackend::~CudaBackend() = default;
cuda::Stream CudaBackend::stream() const { return nullptr; }

Allocator& CudaBackend::allocator() { return gpu_->allocator; }
void CudaBackend::copy_from_host(const void* source, Tensor& to) {
  std::memcpy(to.raw(), source, to.bytes());
}
void CudaBackend::copy_to_host(const Tensor& from, void* destination) {
  std::memcpy(destination, from.raw(), from.bytes());
}
void CudaBackend::copy(const Tensor& from, Tensor& to) { std::memmove(to.raw(), from.raw(), to.bytes()); }
void CudaBackend::synchronize() {}
double CudaBackend::peak_gflops() { return cpu_backend().peak_gflops(); }

void CudaBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  cpu_backend().matmul(a, b, options, out);
}
void CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) {
  cpu_backend().conv2d(x, weight, options, y);
}
void CudaBackend::conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                    Tensor& grad_x) {
  cpu_backend().conv2d_grad_input(grad, weight, options, grad_x);
}
void CudaBackend::conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                     Tensor& grad_weight) {
  cpu_backend().conv2d_grad_weight(grad, x, options, grad_weight);
}

// Kernels not written yet.
void CudaBackend::read_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  cpu_backend().read_slice(x, slice, out);
}
void CudaBackend::write_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  cpu_backend().write_slice(x, slice, out);
}
void CudaBackend::batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const Tensor& residual, const BatchNormOptions& options, Tensor& running_mean,
                             Tensor& running_var, Tensor& y, Tensor& mean, Tensor& inv_std) {
  cpu_backend().batch_norm(x, weight, bias, residual, options, running_mean, running_var, y, mean, inv_std);
}
void CudaBackend::batch_norm_inference(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const Tensor& residual, const BatchNormOptions& options,
                                       const Tensor& running_mean, const Tensor& running_var, Tensor& y,
                                       Tensor& mean, Tensor& inv_std) {
  cpu_backend().batch_norm_inference(x, weight, bias, residual, options, running_mean, running_var, y, mean,
                                     inv_std);
}
void CudaBackend::batch_norm_grad(const Tensor& grad, const Tensor& x, const Tensor& y, const Tensor& weight,
                                  const Tensor& bias, const Tensor& mean, const Tensor& inv_std,
                                  const BatchNormOptions& options, Tensor& grad_x, Tensor& grad_weight,
                                  Tensor& grad_bias, Tensor& grad_residual) {
  cpu_backend().batch_norm_grad(grad, x, y, weight, bias, mean, inv_std, options, grad_x, grad_weight,
                                grad_bias, grad_residual);
}
void CudaBackend::max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) {
  cpu_backend().max_pool2d(x, options, y, index);
}
void CudaBackend::max_pool2d_scatter(const Tensor& grad, const Tensor& index, Tensor& grad_x) {
  cpu_backend().max_pool2d_scatter(grad, index, grad_x);
}
void CudaBackend::max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  cpu_backend().max_pool2d_gather(x, index, y);
}
void CudaBackend::softmax(const Tensor& logits, Tensor& probabilities) {
  cpu_backend().softmax(logits, probabilities);
}
void CudaBackend::cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing, Tensor& losses,
                                Tensor& probabilities) {
  cpu_backend().cross_entropy(logits, labels, smoothing, losses, probabilities);
}
void CudaBackend::cross_entropy_grad(const Tensor& grad, const Tensor& probabilities, const Tensor& labels,
                                     double smoothing, Tensor& grad_logits) {
  cpu_backend().cross_entropy_grad(grad, probabilities, labels, smoothing, grad_logits);
}
void CudaBackend::one_hot(const Tensor& labels, double smoothing, Tensor& target) {
  cpu_backend().one_hot(labels, smoothing, target);
}
void CudaBackend::crop_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                              std::span<const float> std, Tensor& out) {
  cpu_backend().crop_images(images, crops, mean, std, out);
}

Backend& cuda_backend(int) {
  static auto* backend = new CudaBackend(0);  // never destroyed, like the CPU's
  return *backend;
}
int cuda_device_count() { return 1; }
std::string cuda_build_description() { return "emulated on the host"; }
std::string cuda_device_description(int) { return "the host"; }
std::string cuda_plan_report() { return ""; }

}  // namespace lamina
