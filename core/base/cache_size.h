// The size of the CPU's caches.
#pragma once

#include <cstdint>

namespace lamina {

// Bytes of a core's L1 data cache; 32 KiB where the system does not tell.
std::int64_t l1_cache_bytes();

}  // namespace lamina
