// When the GPU was at work: a library that the driver loads into a program that uses CUDA, without its
// knowing.
//
//   CUDA_INJECTION64_PATH=build/release/tests/libkernel_times.so KERNEL_TIMES=out.txt lamina train …
//
// At the end out.txt has a line "start end name" in ns for every kernel, "copy" and "fill", those in CUDA
// graphs too.
#include <cupti.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace {

struct Interval {
  std::uint64_t start, end;
  const std::string* name;
};

struct Recording {
  std::mutex mutex;
  std::vector<Interval> intervals;
  std::unordered_set<std::string> names;  // whose addresses stay
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
void note_interval(const Activity& activity, const char* name) {
  Recording& all = recording();
  all.intervals.push_back({activity.start, activity.end, &*all.names.emplace(name).first});
}

// Start, end and name lie where they did in these older layouts of the records.
void note(const CUpti_Activity* record) {
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto& kernel = *reinterpret_cast<const CUpti_ActivityKernel9*>(record);
    note_interval(kernel, kernel.name == nullptr ? "unknown" : kernel.name);
  }
  if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY)
    note_interval(*reinterpret_cast<const CUpti_ActivityMemcpy5*>(record), "copy");
  if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET)
    note_interval(*reinterpret_cast<const CUpti_ActivityMemset4*>(record), "fill");
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
  for (const auto& [start, end, name] : recording().intervals)
    std::fprintf(file, "%llu %llu %s\n", static_cast<unsigned long long>(start),
                 static_cast<unsigned long long>(end), name->c_str());
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
