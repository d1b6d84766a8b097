// Stands in for a GPU: the kernels of core/cuda compiled for the host, on host memory. What NVIDIA's
// libraries do on a GPU (products, convolutions) the CPU does here.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>

#include "core/cuda/cuda_backend.h"

namespace lamina {

namespace {

// Every block is NaN on entry, or -1 as an i32: an element that a kernel forgets shows. Each is one of the
// system's, so that the address sanitizer sees what lies beyond it.
class PoisoningAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    use_.live_bytes += bytes;
    use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
    return std::memset(::operator new(bytes, alignment), 0xFF, bytes);
  }
  void release(void* data, std::size_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    use_.live_bytes -= bytes;
    ::operator delete(data, alignment);
  }
  MemoryUse use() const override {
    const std::lock_guard lock(mutex_);
    return use_;
  }
  void reset_peak() override {
    const std::lock_guard lock(mutex_);
    use_.peak_bytes = use_.live_bytes;
  }
  void empty_cache() noexcept override {}

 private:
  static constexpr std::align_val_t alignment{64};
  mutable std::mutex mutex_;
  MemoryUse use_;
};

}  // namespace

struct CudaBackend::Gpu {
  PoisoningAllocator allocator;
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

namespace {

// The CPU has no bf16: operands are widened, and what comes out is rounded.
Tensor widened(const Tensor& x) {
  if (x.dtype() != DType::bf16) return x;
  Tensor wide = Tensor::empty(x.shape());
  cpu_backend().cast(x, wide);
  return wide;
}

template <typename Kernel>
void in_f32(Tensor& out, const Kernel& kernel) {
  Tensor wide = out.dtype() == DType::bf16 ? Tensor::empty(out.shape()) : out;
  kernel(wide);
  if (out.dtype() == DType::bf16) cpu_backend().cast(wide, out);
}

}  // namespace

void CudaBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  in_f32(out, [&](Tensor& wide) { cpu_backend().matmul(widened(a), widened(b), options, wide); });
}
void CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) {
  in_f32(y, [&](Tensor& wide) { cpu_backend().conv2d(widened(x), widened(weight), options, wide); });
}
void CudaBackend::conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                    Tensor& grad_x) {
  in_f32(grad_x, [&](Tensor& wide) {
    cpu_backend().conv2d_grad_input(widened(grad), widened(weight), options, wide);
  });
}
void CudaBackend::conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                     Tensor& grad_weight) {
  in_f32(grad_weight,
         [&](Tensor& wide) { cpu_backend().conv2d_grad_weight(widened(grad), widened(x), options, wide); });
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
