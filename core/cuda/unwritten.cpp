// Kernels not written yet; they go as they are.
#include "core/cuda/cuda_backend.h"

namespace lamina {
namespace {

[[noreturn]] void unwritten(const char* operation) {
  fail("{}: not available on CUDA yet; use --device cpu", operation);
}

}  // namespace

void CudaBackend::read_slice(const Tensor&, const Slice&, Tensor&) { unwritten("read_slice"); }
void CudaBackend::write_slice(const Tensor&, const Slice&, Tensor&) { unwritten("write_slice"); }
void CudaBackend::batch_norm(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                             const BatchNormOptions&, Tensor&, Tensor&, Tensor&, Tensor&, Tensor&) {
  unwritten("batch_norm");
}
void CudaBackend::batch_norm_inference(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                       const BatchNormOptions&, const Tensor&, const Tensor&, Tensor&,
                                       Tensor&, Tensor&) {
  unwritten("batch_norm_inference");
}
void CudaBackend::batch_norm_grad(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                  const Tensor&, const Tensor&, const BatchNormOptions&, Tensor&, Tensor&,
                                  Tensor&, Tensor&) {
  unwritten("batch_norm_grad");
}
void CudaBackend::max_pool2d(const Tensor&, const Pool2dOptions&, Tensor&, Tensor&) {
  unwritten("max_pool2d");
}
void CudaBackend::max_pool2d_scatter(const Tensor&, const Tensor&, Tensor&) {
  unwritten("max_pool2d_scatter");
}
void CudaBackend::max_pool2d_gather(const Tensor&, const Tensor&, Tensor&) { unwritten("max_pool2d_gather"); }
void CudaBackend::softmax(const Tensor&, Tensor&) { unwritten("softmax"); }
void CudaBackend::cross_entropy(const Tensor&, const Tensor&, double, Tensor&, Tensor&) {
  unwritten("cross_entropy");
}
void CudaBackend::cross_entropy_grad(const Tensor&, const Tensor&, const Tensor&, double, Tensor&) {
  unwritten("cross_entropy_grad");
}
void CudaBackend::one_hot(const Tensor&, double, Tensor&) { unwritten("one_hot"); }
void CudaBackend::crop_images(const Tensor&, std::span<const Crop>, std::span<const float>,
                              std::span<const float>, Tensor&) {
  unwritten("crop_images");
}

}  // namespace lamina
