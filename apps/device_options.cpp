#include "apps/device_options.h"

#include <algorithm>
#include <limits>

#include "core/allocator.h"
#include "core/backend.h"
#include "core/error.h"

namespace lamina {
namespace {

std::size_t bytes_of(double gibibytes) {
  constexpr double gibibyte = 1 << 30, most = 0x1p62;
  if (gibibytes == 0) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::min(gibibytes * gibibyte, most));
}

}  // namespace

void add_options(const Command& command, DeviceOptions& options) {
  command.option("--device", options.device, device_help::device);
  command.option("--threads", options.threads, device_help::threads);
  command.option("--tf32", options.tf32, device_help::tf32);
  command.option("--deterministic", options.deterministic, device_help::deterministic);
  command.option("--memory-limit", options.memory_limit, device_help::memory_limit, "GIB");
}

void add_precision(const Command& command, DeviceOptions& options) {
  command.option("--precision", options.precision, device_help::precision);
}

void check_options(const DeviceOptions& options) {
  if (options.threads < 0) fail_usage("--threads {}: expected at least 0", options.threads);
  if (!(options.memory_limit >= 0))
    fail_usage("--memory-limit {}: expected at least 0", options.memory_limit);
  if (options.precision != "f32" && options.precision != "bf16")
    fail_usage("--precision {}: expected f32 or bf16", options.precision);
  const Device device = Device::parse(options.device);
  if (device.type == DeviceType::cuda) return;
  if (options.precision == "bf16")
    fail_usage("--precision bf16 concerns --device cuda; on {} use f32", device.str());
  if (options.tf32) fail_usage("--tf32 concerns --device cuda; {} has no such mode", device.str());
}

Device use_device(const DeviceOptions& options) {
  check_options(options);
  const Device device = Device::parse(options.device);
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

}  // namespace lamina
