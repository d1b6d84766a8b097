// Slices along one axis: the tensor is seen as [outer, axis, inner], and blocks of `inner` are moved.
#include <cstddef>
#include <cstring>

#include "core/cpu/cpu_backend.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

// `count` blocks of `bytes` bytes; steps in blocks.
void copy_blocks(const std::byte* from, std::int64_t from_step, std::byte* to, std::int64_t to_step,
                 std::int64_t count, std::int64_t bytes) {
  constexpr std::int64_t word = 4;  // f32 and i32: as a constant, memcpy becomes one move
  if (from_step == 1 && to_step == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count * bytes));
  } else if (bytes == word) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(to + i * to_step * word, from + i * from_step * word, word);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(to + i * to_step * bytes, from + i * from_step * bytes, static_cast<std::size_t>(bytes));
    }
  }
}

// A slice of `whole`, which `part` is read from or written to.
struct Layout {
  Layout(const Tensor& whole, const Slice& slice)
      : outer(whole.shape().elements(0, slice.axis)),
        whole_blocks(whole.shape()[slice.axis]),
        bytes(whole.shape().elements(slice.axis + 1, whole.rank()) *
              static_cast<std::int64_t>(size_of(whole.dtype()))) {}

  std::int64_t outer, whole_blocks, bytes;  // bytes of one block
};

// body(first byte in whole, first byte in part) for each outer index.
template <typename Body>
void for_each_outer(const Layout& layout, const Slice& slice, const Body& body) {
  const std::int64_t part_bytes = slice.count * layout.bytes;
  if (part_bytes == 0) return;
  const std::int64_t chunk = std::max<std::int64_t>(1, (1 << 16) / part_bytes);
  parallel_for(layout.outer, chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      body((o * layout.whole_blocks + slice.start) * layout.bytes, o * part_bytes);
    }
  });
}

}  // namespace

void CpuBackend::read_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  const Layout layout(x, slice);
  for_each_outer(layout, slice, [&](std::int64_t whole, std::int64_t part) {
    copy_blocks(x.raw() + whole, slice.step, out.raw() + part, 1, slice.count, layout.bytes);
  });
}

void CpuBackend::write_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  const Layout layout(out, slice);
  for_each_outer(layout, slice, [&](std::int64_t whole, std::int64_t part) {
    copy_blocks(x.raw() + part, 1, out.raw() + whole, slice.step, slice.count, layout.bytes);
  });
}

}  // namespace lamina
