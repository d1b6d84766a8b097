// Decoded image folders, kept between runs: one safetensors file per folder, made valid by a fingerprint of
// the files it was decoded from and a checksum of the pixels. Programs that use the same folder at once share
// its memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/dataset.h"

namespace lamina::data {

// A file that is no whole image.
struct DamagedFile {
  std::int64_t index = 0;  // among the split's files
  std::string reason;      // names the file; printable
};

struct DecodedSplit {
  Tensor images;                     // u8 [N, H, W, C], without the damaged ones
  std::vector<DamagedFile> damaged;  // by their index
};

struct DecodedFolder {
  DecodedSplit train, test;
};

struct CacheKey {
  std::filesystem::path file;
  std::string fingerprint;  // changes whenever the decoded pixels might
};

// 64-bit FNV-1a, as 16 hexadecimal digits: tells changed inputs apart, guards against no adversary.
std::string hash_text(const std::string& text);

// Where the decoded form of `directory` is kept; nothing if there is no cache_directory().
std::optional<CacheKey> cache_key(const std::filesystem::path& directory, const std::string& contents);

// Nothing if there is no such file or it was made from other contents; nothing, and a note, if it is damaged.
std::optional<DecodedFolder> read_cache(const CacheKey& key, const Notify& notify);

// Replaces the file. A failure (read-only directory, full disk) is noted and otherwise harmless.
void write_cache(const CacheKey& key, const DecodedFolder& decoded, const Notify& notify);

}  // namespace lamina::data
