// A GPU's memory, copies and graphs, and the one instance of its backend.
#include "core/backend.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

#include "core/cuda/capture.h"
#include "core/cuda/devices.h"
#include "core/cuda/gpu.h"

namespace lamina {
namespace {

using cuda::check_cuda;

// While a CUDA graph is captured most calls that may wait are refused; getting memory is none of the graph's
// business.
class OutsideCapture {
 public:
  OutsideCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~OutsideCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  OutsideCapture(const OutsideCapture&) = delete;
  OutsideCapture& operator=(const OutsideCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

std::byte* allocate_segment(std::size_t bytes) {
  const OutsideCapture outside;
  void* segment = nullptr;
  if (cudaMalloc(&segment, bytes) == cudaSuccess) return static_cast<std::byte*>(segment);
  cudaGetLastError();  // or the next launch would report it
  return nullptr;
}

std::string describe_memory(int index) {
  const OutsideCapture outside;
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
  return fmt::format("cuda:{} has {} of {} bytes free", index, free, total);
}

std::size_t free_memory() {  // of the GPU in use
  const OutsideCapture outside;
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
  return free;
}

cuda::OwnedStream make_stream_on(int index) {
  cuda::check_device(index);
  check_cuda(cudaSetDevice(index), "choosing a GPU");
  return cuda::make_stream();
}

cuda::SegmentSource segments_of(int index, cudaStream_t stream) {
  return {.allocate = allocate_segment,
          .release =
              [stream](std::byte* segment) {
                cudaStreamSynchronize(stream);
                cudaFree(segment);
              },
          .describe = [index] { return describe_memory(index); },
          .free_bytes = free_memory};
}

// LAMINA_GPU_MEMORY=separate is for compute-sanitizer.
std::unique_ptr<cuda::GpuAllocator> make_allocator(cuda::SegmentSource source) {
  const char* wanted = std::getenv("LAMINA_GPU_MEMORY");
  if (wanted == nullptr || std::string_view(wanted).empty())
    return std::make_unique<cuda::CudaAllocator>(std::move(source));
  check(std::string_view(wanted) == "separate",
        "LAMINA_GPU_MEMORY is \"{}\"; expected nothing, or separate: every block by itself", wanted);
  return std::make_unique<cuda::SeparateAllocator>(std::move(source));
}

// Memory for captured work, while it may be replayed.
class GraphMemory {
 public:
  // Serves what `work` asks for. Free memory goes back first: from now on the work runs in this.
  GraphMemory(cuda::GpuAllocator& allocator, const std::function<void()>& work) : allocator_(allocator) {
    allocator_.empty_cache();
    allocator_.begin_capture();
    try {
      work();
    } catch (...) {
      allocator_.end_capture();
      allocator_.drop_capture();
      throw;
    }
    allocator_.end_capture();
  }
  ~GraphMemory() { allocator_.drop_capture(); }
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

 private:
  cuda::GpuAllocator& allocator_;
};

class CudaGraph final : public Graph {
 public:
  CudaGraph(cuda::GpuAllocator& allocator, cudaStream_t stream, const std::function<void()>& work)
      : stream_(stream), memory_(allocator, [&] { graph_ = cuda::capture(stream, work); }) {}
  ~CudaGraph() override { cudaStreamSynchronize(stream_); }  // its memory may be needed until then

  void replay() override {
    cuda::check_not_capturing(stream_, "replaying a graph");
    check_cuda(cudaGraphLaunch(graph_.get(), stream_), "replaying a graph");
  }

 private:
  cudaStream_t stream_;
  cuda::OwnedExecutableGraph graph_;
  GraphMemory memory_;
};

struct Backends {
  std::mutex mutex;
  std::map<int, CudaBackend> by_index;

  CudaBackend& at(int index) {
    const std::lock_guard lock(mutex);
    return by_index.try_emplace(index, index).first->second;
  }
};

Backends& backends() {
  // Never destroyed: tensors held by static or thread-local objects may outlive any static of ours.
  alignas(Backends) static std::byte memory[sizeof(Backends)];
  static Backends& made = *std::construct_at(reinterpret_cast<Backends*>(memory));
  return made;
}

}  // namespace

CudaBackend::Gpu::Gpu(int index)
    : stream(make_stream_on(index)), allocator(make_allocator(segments_of(index, stream.get()))) {}

CudaBackend::CudaBackend(int index) : index_(index), gpu_(std::make_unique<Gpu>(index)) {}
CudaBackend::~CudaBackend() = default;

cuda::Stream CudaBackend::stream() const { return gpu_->stream.get(); }
Allocator& CudaBackend::allocator() { return *gpu_->allocator; }

void CudaBackend::copy_from_host(const void* source, Tensor& to) {
  cuda::check_not_capturing(stream(), "copying to the GPU");
  gpu_->staging.upload(source, to.bytes(), to.raw(), stream());
}

void CudaBackend::crop_host_images(const Tensor& images, std::span<const Crop> crops,
                                   std::span<const float> mean, std::span<const float> std, Tensor& out) {
  gpu_->images.run(images, device(), stream(),
                   [&](const Tensor& copy) { crop_images(copy, crops, mean, std, out); });
}

void CudaBackend::copy_to_host(const Tensor& from, void* destination) {
  cuda::check_not_capturing(stream(), "reading from the GPU");
  if (from.bytes() > 0)
    check_cuda(cudaMemcpyAsync(destination, from.raw(), from.bytes(), cudaMemcpyDeviceToHost, stream()),
               "copying from the GPU");
  synchronize();
}

void CudaBackend::copy(const Tensor& from, Tensor& to) {
  if (from.raw() == to.raw() || from.bytes() == 0) return;
  check_cuda(cudaMemcpyAsync(to.raw(), from.raw(), from.bytes(), cudaMemcpyDeviceToDevice, stream()),
             "copying on the GPU");
}

void CudaBackend::synchronize() {
  cuda::check_not_capturing(stream(), "waiting for the GPU");
  check_cuda(cudaStreamSynchronize(stream()), "waiting for the GPU");
}

std::unique_ptr<Graph> CudaBackend::capture(const std::function<void()>& work) {
  cuda::check_not_capturing(stream(), "capturing work");
  return std::make_unique<CudaGraph>(*gpu_->allocator, stream(), work);
}

void CudaBackend::warm_up(const std::function<void()>& work) {
  cuda::check_not_capturing(stream(), "capturing work");
  const GraphMemory memory(*gpu_->allocator, work);
}

std::string CudaBackend::plan_report() const { return gpu_->convolutions.report(); }

// Every call of an op comes here, nearly always for the GPU of the call before.
Backend& cuda_backend(int index) {
  thread_local struct {
    int index = -1;
    CudaBackend* backend = nullptr;
  } current;
  if (current.index != index || current.backend == nullptr) {
    current = {};  // making a backend chooses its GPU, even if it then fails
    CudaBackend& backend = backends().at(index);
    check_cuda(cudaSetDevice(index), "choosing a GPU");
    current = {index, &backend};
  }
  return *current.backend;
}

std::string cuda_plan_report() {
  const std::lock_guard lock(backends().mutex);
  std::string report;
  for (const auto& [index, backend] : backends().by_index) report += backend.plan_report();
  return report;
}

}  // namespace lamina
