#include "data/cache.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <sstream>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"
#include "core/base/rounding.h"
#include "core/base/user_directories.h"
#include "core/files/safetensors.h"
#include "core/memory/allocator.h"
#include "data/file.h"
#include "data/find.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

// CRC-32 of every 16 MiB, hashed together: memory speed over several threads.
std::string checksum(const Tensor& images) {
  constexpr std::size_t piece = std::size_t{16} << 20;
  std::vector<std::string> sums(ceil_div(images.bytes(), piece));
  for_each_index(static_cast<std::int64_t>(sums.size()), 0, [&](std::int64_t i) {
    const std::size_t start = static_cast<std::size_t>(i) * piece;
    const auto count = static_cast<uInt>(std::min(piece, images.bytes() - start));
    const auto* bytes = reinterpret_cast<const Bytef*>(images.raw()) + start;
    sums[static_cast<std::size_t>(i)] = fmt::format("{:08x}", crc32(0, bytes, count));
  });
  return hash_text(fmt::format("{}", fmt::join(sums, " ")));
}

Tensor checked_images(const TensorFile& file, const std::string& name) {
  const Tensor& images = file.at(name);
  check(images.dtype() == DType::u8 && images.rank() == 4, "{} is {}; expected u8 images", name,
        images.str());
  const auto sum = file.metadata.find(name + ".checksum");
  check(sum != file.metadata.end() && sum->second == checksum(images), "the checksum of {} does not match",
        name);
  return images;
}

// Lines "INDEX REASON".
std::string damaged_as_text(const std::vector<DamagedFile>& damaged) {
  std::string text;
  for (const DamagedFile& file : damaged) text += fmt::format("{} {}\n", file.index, file.reason);
  return text;
}

DecodedSplit read_split(const TensorFile& file, const std::string& name) {
  DecodedSplit split{.images = checked_images(file, name), .damaged = {}};
  const auto found = file.metadata.find(name + ".damaged");
  std::istringstream lines(found == file.metadata.end() ? "" : found->second);
  for (DamagedFile damaged; lines >> damaged.index && std::getline(lines >> std::ws, damaged.reason);)
    split.damaged.push_back(damaged);
  check(lines.eof(), "the list of damaged images of {} makes no sense", name);
  return split;
}

}  // namespace

std::string hash_text(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return fmt::format("{:016x}", hash);
}

std::optional<CacheKey> cache_key(const fs::path& directory, const std::string& contents) {
  const fs::path base = cache_directory();
  if (base.empty()) return std::nullopt;
  std::error_code ignored;
  fs::path canonical = fs::canonical(directory, ignored);
  if (canonical.empty()) canonical = directory;
  // Two folders of one name keep apart by their whole path; what changes inside one replaces its file.
  const std::string file =
      fmt::format("{}-{}.safetensors", canonical.filename().string(), hash_text(canonical.string()));
  return CacheKey{base / "decoded" / file, hash_text(contents)};
}

std::optional<DecodedFolder> read_cache(const CacheKey& key, const Notify& notify) {
  try {
    if (!is_there(key.file)) return std::nullopt;
    const TensorFile file = read_tensors(key.file, {.map_bytes = true});
    const auto made_from = file.metadata.find("fingerprint");
    if (made_from == file.metadata.end() || made_from->second != key.fingerprint) return std::nullopt;
    return DecodedFolder{read_split(file, "train"), read_split(file, "test")};
  } catch (const OutOfMemory&) {
    throw;  // the file is none the worse
  } catch (const Error& error) {
    if (notify) {
      notify(fmt::format("note: the cache {} is damaged and will be rebuilt ({})",
                         printable(key.file.native()), error.what()));
    }
    return std::nullopt;
  }
}

void write_cache(const CacheKey& key, const DecodedFolder& decoded, const Notify& notify) {
  try {
    fs::create_directories(key.file.parent_path());
    write_tensors(key.file, {.tensors = {{"train", decoded.train.images}, {"test", decoded.test.images}},
                             .metadata = {{"fingerprint", key.fingerprint},
                                          {"train.checksum", checksum(decoded.train.images)},
                                          {"test.checksum", checksum(decoded.test.images)},
                                          {"train.damaged", damaged_as_text(decoded.train.damaged)},
                                          {"test.damaged", damaged_as_text(decoded.test.damaged)}}});
  } catch (const std::exception& error) {  // Error, or the file system's own
    if (notify) {
      notify(fmt::format("warning: decoded images are not kept for the next start: {}", error.what()));
    }
  }
}

}  // namespace lamina::data
