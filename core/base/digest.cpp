#include "core/base/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lamina {

std::uint64_t digest_of_bytes(const void* bytes, std::size_t count) { return XXH3_64bits(bytes, count); }

}  // namespace lamina
