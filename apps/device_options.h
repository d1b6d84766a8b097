// What --device and --threads mean.
#pragma once

#include <string>

#include "core/device.h"

namespace lamina {

// Sets the number of threads (0: all cores) and returns the device, once it is certain to work. Throws
// UsageError for a name that is none, Error if this build or machine has no such device.
Device use_device(const std::string& name, int threads);

}  // namespace lamina
