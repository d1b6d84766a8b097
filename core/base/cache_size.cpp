#include "core/base/cache_size.h"

#include <unistd.h>

namespace lamina {

std::int64_t l1_cache_bytes() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  static const long told = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  if (told > 0) return told;
#endif
  return 32 * 1024;
}

}  // namespace lamina
