#include "analysis/product_journal.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "analysis/fixed_samples.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/regular_file.h"

namespace lamina::analysis {
namespace {

constexpr std::uint64_t file_format = 0x31736e616e6d614c;  // tells the file from others, and its version

std::uint64_t digest_of(const Tensor& x) {
  const Tensor host = x.detach().to(Device{});
  return digest_of_bytes(host.raw(), host.bytes());
}

std::uint64_t digest_of(const std::vector<std::uint64_t>& numbers) {
  return digest_of_bytes(numbers.data(), numbers.size() * sizeof(std::uint64_t));
}

// What was asked for: the vector, and whose block it is in.
std::uint64_t request_digest(const BlockProduct& block) {
  std::vector<std::uint64_t> numbers(block.parameters.begin(), block.parameters.end());
  numbers.push_back(digest_of(block.vector));
  return digest_of(numbers);
}

}  // namespace

ProductJournal::ProductJournal(const std::filesystem::path& path, std::uint64_t function) : path_(path) {
  const std::array<std::uint64_t, 2> expected{file_format, function};
  // One of no length was killed before it had begun.
  const bool is_new = !is_there(path) || RegularFile(path).size() == 0;
  auto mode = std::ios::binary | std::ios::in | std::ios::out;
  file_.open(path, is_new ? mode | std::ios::trunc : mode);
  check(file_.is_open(), "{}: cannot be opened for reading and writing", path.string());
  std::array<std::uint64_t, 2> found{};
  file_.read(reinterpret_cast<char*>(found.data()), sizeof(found));
  check(is_new || found[0] == file_format,
        "{}: it is there, and no journal of products; choose another name, or remove it", path.string());
  check(is_new || found == expected,
        "{}: holds products of other weights, samples or options; remove it, or choose another name",
        path.string());
  file_.clear();
  file_.seekp(0);
  file_.write(reinterpret_cast<const char*>(expected.data()), sizeof(expected));
  check(static_cast<bool>(file_.flush()), "{}: cannot be written; is the disk full?", path.string());
  end_ = sizeof(expected);
}

// A record: digest of the request, digest of the product, the product's elements.
bool ProductJournal::replay(BlockProduct& block) {
  std::array<std::uint64_t, 2> digests{};
  const Tensor product = Tensor::empty_like(block.vector);
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(end_));
  file_.read(reinterpret_cast<char*>(digests.data()), sizeof(digests));
  file_.read(reinterpret_cast<char*>(product.raw()), static_cast<std::streamsize>(product.bytes()));
  if (!file_ || digests[0] != request_digest(block) || digests[1] != digest_of(product)) return false;
  block.product = product;
  end_ += sizeof(digests) + product.bytes();
  ++replayed_;
  return true;
}

void ProductJournal::append(const BlockProduct& block) {
  const std::array<std::uint64_t, 2> digests{request_digest(block), digest_of(block.product)};
  file_.clear();
  file_.seekp(static_cast<std::streamoff>(end_));
  file_.write(reinterpret_cast<const char*>(digests.data()), sizeof(digests));
  file_.write(reinterpret_cast<const char*>(block.product.raw()),
              static_cast<std::streamsize>(block.product.bytes()));
  check(static_cast<bool>(file_.flush()), "{}: a product cannot be written; is the disk full?",
        path_.string());
  end_ += sizeof(digests) + block.product.bytes();
}

void ProductJournal::products(std::span<BlockProduct> blocks, const Products& compute) {
  std::size_t known = 0;
  while (replaying_ && known < blocks.size() && replay(blocks[known])) ++known;
  if (known == blocks.size()) return;
  replaying_ = false;
  const std::span<BlockProduct> rest = blocks.subspan(known);
  compute(rest);
  for (const BlockProduct& block : rest) append(block);
}

void ProductJournal::remove() {
  file_.close();
  std::error_code error;
  std::filesystem::remove(path_, error);
}

std::uint64_t function_digest(const LossSurface& surface) {
  std::vector<std::uint64_t> digests{static_cast<std::uint64_t>(surface.batch_norm()),
                                     digest_of_samples(surface.parts())};
  const auto add = [&digests](const std::string& text) {
    digests.push_back(digest_of_bytes(text.data(), text.size()));
  };
  for (const auto& param : surface.objective().module().state()) digests.push_back(digest_of(param->value));
  for (const data::Part& part : surface.parts())  // which are normalised together, and of which batch
    add(fmt::format("{} of {}", part.size(), part.batch_samples));
  add(surface.objective().name());
  for (const auto& [name, value] : surface.objective().options()) add(name + "=" + value);
  return digest_of(digests);
}

}  // namespace lamina::analysis
