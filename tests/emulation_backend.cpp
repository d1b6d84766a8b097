// Stands in for a GPU: the kernels of core/cuda compiled for the host, on host memory. What NVIDIA's
// libraries do on a GPU (products, convolutions) the CPU does here.
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "core/error.h"

namespace lamina {

namespace {

// Every block is NaN on entry, or -1 as an i32: an element that a kernel forgets shows. Each is one of the
// system's, so that the address sanitizer sees what lies beyond it. What is made while work is recorded stays
// where it is as long as there are recordings.
class PoisoningAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (!is_within_limit(bytes))
      throw OutOfMemory("out of memory on the emulated GPU", {bytes, use_.live_bytes, limit_});
    add_live(bytes);
    void* block = std::memset(::operator new(bytes, alignment), 0xFF, bytes);
    if (recording_) released_[block] = false;
    return block;
  }
  void release(void* data, std::size_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    use_.live_bytes -= bytes;
    const auto recorded = released_.find(data);
    if (recorded == released_.end()) return ::operator delete(data, alignment);
    recorded->second = true;
  }
  void begin_recording() { recording_ = true, ++recordings_; }
  void end_recording() { recording_ = false; }
  void drop_recording() {
    if (--recordings_ > 0) return;
    for (const auto& [block, released] : std::exchange(released_, {}))
      if (released) ::operator delete(block, alignment);
  }
  void empty_cache() noexcept override {}

 private:
  static constexpr std::align_val_t alignment{64};
  bool recording_ = false;
  int recordings_ = 0;
  std::map<void*, bool> released_;  // of the blocks made while recording
};

using HandedOut = std::vector<std::function<void()>>;
HandedOut* recorded = nullptr;  // where work goes while a recording is made

void check_not_recording(const char* what) {
  if (recorded != nullptr) throw DeviceError(fmt::format("{}: impossible while work is recorded", what));
}

class HostRecording final : public Recording {
 public:
  HostRecording(PoisoningAllocator& allocator, const std::function<void()>& work) : allocator_(allocator) {
    allocator_.begin_recording();
    struct AtEnd {
      PoisoningAllocator& allocator;
      ~AtEnd() { recorded = nullptr, allocator.end_recording(); }
    };
    try {
      recorded = &work_;
      const AtEnd at_end{allocator_};
      work();
    } catch (...) {
      allocator_.drop_recording();
      throw;
    }
  }
  ~HostRecording() override { allocator_.drop_recording(); }
  void replay() override {
    for (const auto& work : work_) work();
  }

 private:
  PoisoningAllocator& allocator_;
  HandedOut work_;
};

}  // namespace

void cuda::hand_out(Stream, std::function<void()> work) {
  recorded == nullptr ? work() : recorded->push_back(std::move(work));
}

struct CudaBackend::Gpu {
  PoisoningAllocator allocator;
};

CudaBackend::CudaBackend(int index) : index_(index), gpu_(std::make_unique<Gpu>()) {}
CudaBackend::~CudaBackend() = default;
cuda::Stream CudaBackend::stream() const { return nullptr; }

Allocator& CudaBackend::allocator() { return gpu_->allocator; }
void CudaBackend::copy_from_host(const void* source, Tensor& to) {
  check_not_recording("copying to the GPU");
  std::memcpy(to.raw(), source, to.bytes());
}
void CudaBackend::copy_to_host(const Tensor& from, void* destination) {
  check_not_recording("reading from the GPU");
  std::memcpy(destination, from.raw(), from.bytes());
}
void CudaBackend::copy(const Tensor& from, Tensor& to) {
  cuda::hand_out(stream(), [source = from.raw(), destination = to.raw(), bytes = to.bytes()] {
    std::memmove(destination, source, bytes);
  });
}
void CudaBackend::synchronize() { check_not_recording("waiting for the GPU"); }
std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& work) {
  check_not_recording("recording");
  return std::make_unique<HostRecording>(gpu_->allocator, work);
}
void CudaBackend::rehearse(const std::function<void()>& work) {
  check_not_recording("recording");
  work();
}
double CudaBackend::peak_gflops() { return cpu_backend().peak_gflops(); }

namespace {

// A place in the GPU's memory, as recorded work knows it: without a share in keeping it alive. The CPU has no
// bf16: operands are widened, and what comes out is rounded.
struct Place {
  Place(const Tensor& tensor) : data(tensor.raw()), shape(tensor.shape()), dtype(tensor.dtype()) {}
  std::byte* data;
  Shape shape;
  DType dtype;

  Tensor read() const {
    Tensor narrow = Tensor::empty(shape, {dtype});
    std::memcpy(narrow.raw(), data, narrow.bytes());
    if (dtype != DType::bf16) return narrow;
    Tensor wide = Tensor::empty(shape);
    cpu_backend().cast(narrow, wide);
    return wide;
  }
  void write(const Tensor& result) const {
    Tensor narrow = result;
    if (dtype == DType::bf16) cpu_backend().cast(result, narrow = Tensor::empty(shape, {dtype}));
    std::memcpy(data, narrow.raw(), narrow.bytes());
  }
};

// kernel(a, b, out) on the CPU.
template <typename Kernel>
void on_cpu(const Tensor& a, const Tensor& b, const Tensor& out, const Kernel& kernel) {
  cuda::hand_out(nullptr, [a = Place(a), b = Place(b), out = Place(out), kernel] {
    Tensor result = Tensor::empty(out.shape, {out.dtype == DType::bf16 ? DType::f32 : out.dtype});
    kernel(a.read(), b.read(), result);
    out.write(result);
  });
}

}  // namespace

void CudaBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  on_cpu(a, b, out, [options](const Tensor& left, const Tensor& right, Tensor& product) {
    cpu_backend().matmul(left, right, options, product);
  });
}
void CudaBackend::conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options, Tensor& y) {
  on_cpu(x, weight, y, [options](const Tensor& images, const Tensor& kernels, Tensor& out) {
    cpu_backend().conv2d(images, kernels, options, out);
  });
}
void CudaBackend::conv2d_grad_input(const Tensor& grad, const Tensor& weight, const Conv2dOptions& options,
                                    Tensor& grad_x) {
  on_cpu(grad, weight, grad_x, [options](const Tensor& above, const Tensor& kernels, Tensor& out) {
    cpu_backend().conv2d_grad_input(above, kernels, options, out);
  });
}
void CudaBackend::conv2d_grad_weight(const Tensor& grad, const Tensor& x, const Conv2dOptions& options,
                                     Tensor& grad_weight) {
  on_cpu(grad, x, grad_weight, [options](const Tensor& above, const Tensor& images, Tensor& out) {
    cpu_backend().conv2d_grad_weight(above, images, options, out);
  });
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
