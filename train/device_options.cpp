#include "train/device_options.h"

#include <algorithm>
#include <limits>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/memory/allocator.h"
#include "core/parallel/collective.h"

namespace lamina::train {
namespace {

std::size_t bytes_of(double gibibytes) {
  constexpr double gibibyte = 1 << 30, most = 0x1p62;
  if (gibibytes == 0) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::min(gibibytes * gibibyte, most));
}

// Of several ranks on a machine each takes the GPU of its place among them, or the only one that it sees.
Device device_of(const std::string& text) {
  const Device device = Device::parse(text);
  const Collective* ranks = connected_ranks();
  if (text != "cuda" || ranks == nullptr || ranks->size() == 1) return device;
  return Device::cuda(ranks->rank_on_host() % std::max(1, cuda_device_count()));
}

}  // namespace

void check_options(const DeviceOptions& options) {
  check_number(option_name("threads"), options.threads, thread_range);
  check_number(option_name("memory_limit"), options.memory_limit, memory_limit_range);
  if (options.precision != "f32" && options.precision != "bf16")
    fail_usage("{} {}: expected f32 or bf16", option_name("precision"), options.precision);
  const Device device = Device::parse(options.device);
  if (device.type == DeviceType::cuda) return;
  if (options.precision == "bf16")
    fail_usage("{} bf16 concerns {} cuda; on {} use f32", option_name("precision"), option_name("device"),
               device.str());
  if (options.tf32)
    fail_usage("{} concerns {} cuda; {} has no such mode", option_name("tf32"), option_name("device"),
               device.str());
}

Device use_device(const DeviceOptions& options) {
  check_options(options);
  const Device device = device_of(options.device);
  Backend& backend = backend_for(device);
  if (options.threads > 0) set_threads(options.threads);
  set_tf32(options.tf32);
  set_deterministic(options.deterministic);
  backend.allocator().set_limit(bytes_of(options.memory_limit));
  return device;
}

DType activations_of(const DeviceOptions& options) {
  return options.precision == "bf16" ? DType::bf16 : DType::f32;
}

}  // namespace lamina::train
