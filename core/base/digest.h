// A number that two blocks of bytes share only if they are equal, but for chance: XXH3, 64 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina {

std::uint64_t digest_of_bytes(const void* bytes, std::size_t count);

}  // namespace lamina
