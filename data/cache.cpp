#include "data/cache.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/base/user_directories.h"
#include "core/files/safetensors.h"
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
  std::error_code ignored;
  if (!fs::exists(key.file, ignored)) return std::nullopt;
  try {
    const TensorFile file = read_tensors(key.file);
    const auto made_from = file.metadata.find("fingerprint");
    if (made_from == file.metadata.end() || made_from->second != key.fingerprint) return std::nullopt;
    return DecodedFolder{checked_images(file, "train"), checked_images(file, "test")};
  } catch (const Error& error) {
    if (notify) {
      notify(fmt::format("note: the cache {} is damaged and will be rebuilt ({})", key.file.string(),
                         error.what()));
    }
    return std::nullopt;
  }
}

void write_cache(const CacheKey& key, const DecodedFolder& decoded, const Notify& notify) {
  try {
    fs::create_directories(key.file.parent_path());
    write_tensors(key.file, {.tensors = {{"train", decoded.train}, {"test", decoded.test}},
                             .metadata = {{"fingerprint", key.fingerprint},
                                          {"train.checksum", checksum(decoded.train)},
                                          {"test.checksum", checksum(decoded.test)}}});
  } catch (const std::exception& error) {  // Error, or the file system's own
    if (notify) {
      notify(fmt::format("warning: decoded images are not kept for the next start: {}", error.what()));
    }
  }
}

}  // namespace lamina::data
