#include "analysis/product_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "analysis/fixed_samples.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"

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
  using Header = std::array<std::uint64_t, 2>;
  const Header expected{file_format, function};
  end_ = sizeof(Header);
  if (is_there(path)) {
    known_.emplace(path);
    Header found{};
    const std::size_t bytes = known_->read(found.data(), sizeof(found));
    check(std::memcmp(found.data(), &file_format, std::min(bytes, sizeof(file_format))) == 0,
          "{}: it is there, and no journal of products; choose another name, or remove it", path.string());
    if (bytes < sizeof(Header)) known_.reset();  // killed before its first record
    check(!known_ || found == expected,
          "{}: holds products of other weights, samples or options; remove it, or choose another name",
          path.string());
  }
  file_.emplace(path);
  if (!known_) file_->write_at(0, expected.data(), sizeof(expected));
}

// A record: digest of the request, digest of the product, the product's elements.
bool ProductJournal::replay(BlockProduct& block) {
  std::array<std::uint64_t, 2> digests{};
  const Tensor product = Tensor::empty_like(block.vector);
  const std::uint64_t after = end_ + sizeof(digests) + product.bytes();
  if (!known_ || after > known_->size()) return false;
  known_->read_at(end_, digests.data(), sizeof(digests));
  known_->read_at(end_ + sizeof(digests), product.raw(), product.bytes());
  if (digests[0] != request_digest(block) || digests[1] != digest_of(product)) return false;
  block.product = product;
  end_ = after;
  ++replayed_;
  return true;
}

void ProductJournal::append(const BlockProduct& block) {
  const std::array<std::uint64_t, 2> digests{request_digest(block), digest_of(block.product)};
  file_->write_at(end_, digests.data(), sizeof(digests));
  file_->write_at(end_ + sizeof(digests), block.product.raw(), block.product.bytes());
  end_ += sizeof(digests) + block.product.bytes();
}

void ProductJournal::products(std::span<BlockProduct> blocks, const Products& compute) {
  std::size_t known = 0;
  while (known < blocks.size() && replay(blocks[known])) ++known;
  if (known == blocks.size()) return;
  known_.reset();
  const std::span<BlockProduct> rest = blocks.subspan(known);
  compute(rest);
  for (const BlockProduct& block : rest) append(block);
}

void ProductJournal::remove() {
  file_.reset();
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
  for (const auto& [name, value] : surface.objective().options()) add(fmt::format("{}={}", name, value));
  return digest_of(digests);
}

}  // namespace lamina::analysis
