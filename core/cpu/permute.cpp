// Permutations of axes: whatever the dtype, its bits are moved.
#include <cstdint>

#include "core/cpu/cpu_backend.h"
#include "core/parallel_for.h"
#include "core/walk.h"

namespace lamina {
namespace {

template <typename Word>
void permute_words(const Word* from, const Walk<1>& walk, std::int64_t elements, Word* to) {
  constexpr std::int64_t chunk = 16384;  // elements
  const std::int64_t inner = walk.inner(), step = walk.axes[0].stride[0];
  parallel_for(elements, chunk, [&](std::int64_t i, std::int64_t end) {
    std::int64_t row = i / inner, column = i % inner;
    for (; i < end; ++row, column = 0) {
      const Word* start = from + walk.row(row)[0];
      for (; column < inner && i < end; ++column, ++i) to[i] = start[column * step];
    }
  });
}

}  // namespace

void CpuBackend::permute(const Tensor& x, const std::vector<int>& order, Tensor& out) {
  const Walk<1> walk = permuted_walk(x.shape(), order);
  visit_word(x.dtype(), [&](auto word) {
    using Word = decltype(word);
    permute_words(reinterpret_cast<const Word*>(x.raw()), walk, out.elements(),
                  reinterpret_cast<Word*>(out.raw()));
  });
}

}  // namespace lamina
