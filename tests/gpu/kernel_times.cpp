// When the GPU was at work: a library that the driver loads into a program that uses CUDA, without its
// knowing.
//
//   CUDA_INJECTION64_PATH=build/release/tests/libkernel_times.so KERNEL_TIMES=out.txt lamina train …
//
// At the end out.txt has a line "start end" in ns for every kernel, copy and fill, those in CUDA graphs too.
#include <cupti.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace {

struct Interval {
  std::uint64_t start, end;
};

struct Recording {
  std::mutex mutex;
  std::vector<Interval> intervals;
};

Recording& recording() {
  static auto* made = new Recording;  // never destroyed: CUPTI's thread may outlive any static of ours
  return *made;
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = std::size_t{4} << 20;
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, *size));
  *most_records = 0;  // as many as fit
}

template <typename Activity>
Interval interval_of(const CUpti_Activity* record) {
  const auto* activity = reinterpret_cast<const Activity*>(record);
  return {activity->start, activity->end};
}

void note(const CUpti_Activity* record) {
  // Start and end lie where they did in these older layouts of the records.
  std::vector<Interval>& intervals = recording().intervals;
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)
    intervals.push_back(interval_of<CUpti_ActivityKernel9>(record));
  if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY)
    intervals.push_back(interval_of<CUpti_ActivityMemcpy5>(record));
  if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET)
    intervals.push_back(interval_of<CUpti_ActivityMemset4>(record));
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t, std::size_t valid) {
  {
    const std::lock_guard lock(recording().mutex);
    CUpti_Activity* record = nullptr;
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) note(record);
  }
  std::free(buffer);
}

void write_intervals() {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const char* path = std::getenv("KERNEL_TIMES");
  std::FILE* file = std::fopen(path == nullptr ? "kernel-times.txt" : path, "w");
  if (file == nullptr) return;
  const std::lock_guard lock(recording().mutex);
  for (const auto& [start, end] : recording().intervals)
    std::fprintf(file, "%llu %llu\n", static_cast<unsigned long long>(start),
                 static_cast<unsigned long long>(end));
  std::fclose(file);
}

}  // namespace

// The driver calls this when it starts.
extern "C" int InitializeInjection() {
  bool works = cuptiActivityRegisterCallbacks(give_buffer, take_buffer) == CUPTI_SUCCESS;
  for (const auto kind :
       {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET})
    works = works && cuptiActivityEnable(kind) == CUPTI_SUCCESS;
  if (!works) std::fputs("kernel_times: CUPTI cannot record here\n", stderr);
  if (works) std::atexit(write_intervals);
  return 1;
}
