// Matrix products by cuBLASLt.
#include "core/cuda/alignment.h"
#include "core/cuda/gpu.h"

namespace lamina {
namespace {

constexpr std::size_t cublas_alignment = 256;  // more tells cuBLAS nothing

}  // namespace

void CudaBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  if (out.elements() == 0) return;
  if (a.elements() == 0) return fill(out, 0);
  const std::size_t alignment = cuda::common_alignment({a.raw(), b.raw(), out.raw()}, cublas_alignment);
  gpu_->matmuls.run({cuda::gemm_layout(a.shape(), b.shape(), options), a.dtype(), tf32(), alignment},
                    {.a = b.raw(), .b = a.raw(), .c = out.raw()}, allocator(), stream());
}

}  // namespace lamina
