#include "data/sets/idx.h"

#include "target.h"

namespace lamina::fuzz {

// The first byte says the rank, and whether the rest is compressed.
FUZZ_TARGET(idx) {
  if (input.empty()) return;
  const int rank = 1 + input[0] % 3;
  const bool compressed = input[0] >= 128;
  const std::filesystem::path path = empty_folder() / "idx";
  put(compressed ? path.string() + ".gz" : path.string(), text_of(input.subspan(1)));
  Tensor tensor;
  if (!accepts([&] { tensor = data::read_idx(path, rank); })) return;
  expect(tensor.rank() == rank, "the rank is the one asked for");
  if (!compressed)
    expect(tensor.bytes() + 4 + 4 * static_cast<std::size_t>(rank) == input.size() - 1,
           "header and elements are the whole file");
}

}  // namespace lamina::fuzz
