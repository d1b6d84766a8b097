#include "core/random_fill.h"

#include <algorithm>
#include <cstdint>

#include "core/parallel_for.h"

namespace lamina {
namespace {

constexpr int block_words = 4;

// Every block of four words in turn: use(words, first), where words are those of the draws from `first` on.
template <typename Use>
void for_each_block(const Random& random, std::int64_t words, const Use& use) {
  constexpr std::int64_t chunk = 4096;  // blocks
  parallel_for(ceil_div<std::int64_t>(words, block_words), chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const auto first = static_cast<std::uint32_t>(block * block_words);
      use(random.block(first), first);
    }
  });
}

}  // namespace

void fill_normal(const Random& random, std::span<double> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  for_each_block(random, 2 * count, [&](const math::PhiloxBlock& words, std::uint32_t first) {
    const std::size_t i = first / 2;
    values[i] = Random::normal_of(words.word[0], words.word[1]);
    if (i + 1 < values.size()) values[i + 1] = Random::normal_of(words.word[2], words.word[3]);
  });
}

void fill_uniform(const Random& random, std::span<double> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  for_each_block(random, count, [&](const math::PhiloxBlock& words, std::uint32_t first) {
    const std::size_t n = std::min<std::size_t>(block_words, values.size() - first);
    for (std::size_t k = 0; k < n; ++k)
      values[first + k] = static_cast<double>(Random::uniform_of(words.word[k]));
  });
}

}  // namespace lamina
