#include "core/backend.h"

#include <atomic>

#include "core/base/error.h"
#include "core/base/resource_limits.h"

namespace lamina {
namespace {

int default_threads() {
  static const int cores = usable_cores().count();
  return cores;
}
std::atomic<int> thread_count{0};  // 0: the default
thread_local int serial_depth = 0;
std::atomic<bool> tf32_allowed{false}, only_deterministic{true};

}  // namespace

Backend& backend_for(Device device) {
  return device.type == DeviceType::cpu ? cpu_backend() : cuda_backend(device.index);
}

void Backend::cast_all(std::span<const Cast> casts) {
  for (const Cast& one : casts) {
    Tensor out = one.out;
    cast(one.x, out);
  }
}

void Backend::accumulate_all(std::span<const Accumulation> sums) {
  for (const Accumulation& sum : sums) {
    Tensor total = sum.total;
    accumulate(sum.x, total);
  }
}

void Backend::embed(const Tensor& x, const Slice& slice, Tensor& out) {
  fill(out, 0);
  write_slice(x, slice, out);
}

void set_threads(int threads) {
  check(threads >= 1 && threads <= 4096, "threads: {} is out of range; expected 1 to 4096", threads);
  thread_count = threads;
}

int threads() {
  if (serial_depth > 0) return 1;
  const int count = thread_count.load(std::memory_order_relaxed);
  return count > 0 ? count : default_threads();
}

void set_tf32(bool allowed) { tf32_allowed = allowed; }
bool tf32() { return tf32_allowed.load(std::memory_order_relaxed); }
void set_deterministic(bool deterministic) { only_deterministic = deterministic; }
bool deterministic() { return only_deterministic.load(std::memory_order_relaxed); }

SerialScope::SerialScope() { ++serial_depth; }
SerialScope::~SerialScope() { --serial_depth; }

}  // namespace lamina
