#include "core/files/safetensors_header.h"

#include <algorithm>

#include "target.h"

namespace lamina::fuzz {
namespace {

bool same_entry(const TensorEntry& a, const TensorEntry& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.begin == b.begin && a.end == b.end;
}

}  // namespace

// Two bytes for the size of the data, then the header: what was read and is written reads the same.
FUZZ_TARGET(safetensors_header) {
  if (input.size() < 2) return;
  const std::uint64_t data_bytes = input[0] + 256u * input[1];
  TensorHeader header, again;
  if (!accepts([&] { header = parse_header(text_of(input.subspan(2)), data_bytes, "header"); })) return;
  again = parse_header(format_header(header), data_bytes, "header written again");
  expect(again.metadata == header.metadata, "metadata written reads the same");
  expect(std::equal(again.entries.begin(), again.entries.end(), header.entries.begin(), header.entries.end(),
                    same_entry),
         "entries written read the same");
}

}  // namespace lamina::fuzz
