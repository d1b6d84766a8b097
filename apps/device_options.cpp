#include "apps/device_options.h"

#include "core/backend.h"
#include "core/error.h"

namespace lamina {

Device use_device(const std::string& name, int threads) {
  if (threads < 0) fail_usage("--threads {}: expected at least 0", threads);
  const Device device = Device::parse(name);
  backend_for(device);
  if (threads > 0) set_threads(threads);
  return device;
}

}  // namespace lamina
