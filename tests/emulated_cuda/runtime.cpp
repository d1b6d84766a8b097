// CUDA's runtime on the host (cuda_runtime_api.h).
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cuda/check.h"
#include "core/cuda/launch.h"
#include "errors.h"
#include "machine.h"

namespace {

using lamina::tests::emulated_machine;
using lamina::tests::report;
using Work = std::function<void()>;
using Graph = std::vector<Work>;
using Clock = std::chrono::steady_clock;

}  // namespace

struct CUgraph_st {
  Graph work;
};
struct CUgraphExec_st {
  std::shared_ptr<const Graph> work;  // launches that wait may outlive it
};
struct CUstream_st {
  std::deque<Work> pending;
  std::unique_ptr<Graph> capture;  // where work goes while a graph is captured
  bool capture_failed = false;
};
struct CUevent_st {
  struct Mark {
    cudaStream_t stream = nullptr;
    bool passed = true;
    Clock::time_point time{};
  };
  std::shared_ptr<Mark> mark = std::make_shared<Mark>();  // where it was last recorded
};

namespace {

std::recursive_mutex mutex;  // of all that follows; work runs under it
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
thread_local cudaStream_t captured = nullptr;  // the stream this thread captures
std::map<void*, std::size_t> device_memory, pinned_memory;
std::size_t used = 0, backlog = 0, launches = 0;

// What was handed out and went wrong shows in whatever is called next.
cudaError_t earlier_failure() {
  return emulated_machine().broken ? report(cudaErrorIllegalAddress) : cudaSuccess;
}

// What may not be done while this thread captures; it then ruins the capture.
cudaError_t unsafe() {
  if (captured == nullptr || capture_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  captured->capture_failed = true;
  return report(cudaErrorStreamCaptureUnsupported);
}

void push(cudaStream_t stream, Work work) {
  if (stream->capture != nullptr) return stream->capture->push_back(std::move(work));
  ++backlog;
  stream->pending.push_back(std::move(work));
}

void run_next(cudaStream_t stream);

void wait_for(const CUevent_st::Mark& mark) {
  while (!mark.passed) run_next(mark.stream);
}

void run_next(cudaStream_t stream) {
  const Work work = std::move(stream->pending.front());
  stream->pending.pop_front();
  --backlog;
  work();
}

bool is_pinned(const void* address, std::size_t bytes) {
  const auto after = pinned_memory.upper_bound(const_cast<void*>(address));
  if (after == pinned_memory.begin()) return false;
  const auto& [begin, size] = *std::prev(after);
  return static_cast<const char*>(address) + bytes <= static_cast<const char*>(begin) + size;
}

constexpr std::align_val_t alignment{256};

// New memory is NaN, or -1 as an i32: what a kernel forgets shows. It is the system's, so that the address
// sanitizer sees what lies beyond it.
void* allocate(std::map<void*, std::size_t>& where, std::size_t bytes) {
  void* memory = std::memset(::operator new(bytes, alignment), 0xFF, bytes);
  where[memory] = bytes;
  return memory;
}

std::size_t release(std::map<void*, std::size_t>& where, void* memory) {
  const auto found = where.find(memory);
  if (found == where.end()) return 0;
  const std::size_t bytes = found->second;
  where.erase(found);
  ::operator delete(memory, alignment);
  return bytes;
}

}  // namespace

namespace lamina {

std::size_t tests::emulated_backlog() {
  const std::lock_guard lock(mutex);
  return backlog;
}

std::size_t tests::emulated_launches() {
  const std::lock_guard lock(mutex);
  return launches;
}

void cuda::hand_out(Stream stream, std::function<void()> work) {
  const std::lock_guard lock(mutex);
  ++launches;
  push(stream, std::move(work));
}

int cuda::blocks_at_once() { return emulated_machine().blocks_at_once; }

bool cuda::hand_out_cooperative(Stream stream, int blocks, std::function<void()> work) {
  if (blocks < 1 || blocks > emulated_machine().fitting_blocks) return false;
  hand_out(stream, std::move(work));
  return true;
}

}  // namespace lamina

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = unsafe()) return error;
  if (bytes > emulated_machine().memory - used) return report(cudaErrorMemoryAllocation);
  used += bytes;
  *memory = allocate(device_memory, bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = unsafe()) return error;
  const std::size_t bytes = release(device_memory, memory);
  used -= bytes;
  return report(bytes > 0 ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = unsafe()) return error;
  *memory = allocate(pinned_memory, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = unsafe()) return error;
  return report(release(pinned_memory, memory) > 0 ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard lock(mutex);
  *total = emulated_machine().memory;
  *free = *total - used;
  return unsafe();
}
// Memory that is not pinned is read before the call returns on a GPU, which then waits: refused here.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = earlier_failure()) return error;
  if (kind == cudaMemcpyHostToDevice && !is_pinned(from, bytes)) return report(cudaErrorInvalidValue);
  push(stream, [=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = std::make_unique<CUstream_st>().release();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const cudaError_t error = cudaStreamSynchronize(stream);
  const std::unique_ptr<CUstream_st> owned(stream);
  return error;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (const cudaError_t error = earlier_failure()) return error;
  if (stream->capture != nullptr) {
    stream->capture_failed = true;
    return report(cudaErrorStreamCaptureUnsupported);
  }
  while (!stream->pending.empty()) run_next(stream);
  return cudaSuccess;
}

// Of what the event marks now, whatever it is recorded for later.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(mutex);
  if (stream->capture != nullptr) return unsafe();  // joining streams into one graph is not emulated
  push(stream, [mark = event->mark] { wait_for(*mark); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = std::make_unique<CUevent_st>().release();
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const cudaError_t error = cudaEventSynchronize(event);
  const std::unique_ptr<CUevent_st> owned(event);
  return error;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  event->mark = std::make_shared<CUevent_st::Mark>(CUevent_st::Mark{.stream = stream, .passed = false});
  push(stream, [mark = event->mark] { mark->passed = true, mark->time = Clock::now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  wait_for(*event->mark);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  const std::lock_guard lock(mutex);
  *milliseconds = std::chrono::duration<float, std::milli>(stop->mark->time - start->mark->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(mutex);
  *status = stream->capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(mutex);
  if (stream->capture != nullptr || mode != cudaStreamCaptureModeThreadLocal)  // no other mode is emulated
    return report(cudaErrorIllegalState);
  stream->capture = std::make_unique<Graph>();
  stream->capture_failed = false;
  captured = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(mutex);
  if (captured != stream) return report(cudaErrorIllegalState);
  captured = nullptr;
  const std::unique_ptr<Graph> work = std::move(stream->capture);
  if (stream->capture_failed) return report(cudaErrorStreamCaptureInvalidated);
  *graph = std::make_unique<CUgraph_st>(CUgraph_st{std::move(*work)}).release();
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, capture_mode);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  auto work = std::make_shared<const Graph>(graph->work);
  *executable = std::make_unique<CUgraphExec_st>(CUgraphExec_st{std::move(work)}).release();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  push(stream, [graph = executable->work] {
    for (const Work& work : *graph) work();
  });
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::unique_ptr<CUgraph_st> owned(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const std::unique_ptr<CUgraphExec_st> owned(executable);
  return cudaSuccess;
}
