#include "core/files/safetensors.h"

#include <cstring>

#include "target.h"

namespace lamina::fuzz {
namespace {

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace

// A whole file: what was read and is written reads the same, and the metadata is what it is without tensors.
FUZZ_TARGET(safetensors) {
  const std::filesystem::path folder = empty_folder(), path = put(folder / "in.safetensors", text_of(input));
  TensorFile file;
  if (!accepts([&] { file = read_tensors(path); })) return;
  expect(read_metadata(path) == file.metadata, "read_metadata() reads what read_tensors() does");
  write_tensors(folder / "out.safetensors", file);
  const TensorFile again = read_tensors(folder / "out.safetensors");
  expect(again.metadata == file.metadata && again.as_i64 == file.as_i64, "what is written reads the same");
  expect(again.tensors.size() == file.tensors.size(), "as many tensors are read as were written");
  for (const auto& [name, tensor] : file.tensors)
    expect(same(tensor, again.at(name)), "tensors read the same");
}

}  // namespace lamina::fuzz
