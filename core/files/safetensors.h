// The safetensors file format (https://github.com/huggingface/safetensors), read and written: an 8-byte
// length, a JSON header, then the tensors' bytes. Used for weight files, checkpoints, traces and caches.
// dtypes: F32, F64, U8, I32; also read: BF16 and F16 (to f32), I64 (to i32, range-checked).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace lamina {

class MemoryFile;  // core/base/memory_file.h

struct TensorFile {
  std::vector<std::pair<std::string, Tensor>> tensors;  // in file order, on the CPU
  std::map<std::string, std::string> metadata;
  std::set<std::string> as_i64 = {};  // names of i32 tensors that the file holds, or shall hold, as I64

  bool contains(const std::string& name) const { return find(name) != nullptr; }
  const Tensor* find(const std::string& name) const;  // null if absent
  const Tensor& at(const std::string& name) const;    // throws Error listing near names
};

struct ReadTensorsOptions {
  // Tensors of bytes are the file's pages (RegularFile::map()), which are read when they are looked at and
  // which programs that read the same file share. It must not become shorter meanwhile.
  bool map_bytes = false;
};

// Throws Error (file, what is wrong, where) for anything that is not a whole, well-formed file: short file,
// header not JSON or too large, overlapping or missing byte ranges, wrong sizes, duplicate names. Bounds
// memory by the file size.
TensorFile read_tensors(const std::filesystem::path& path, const ReadTensorsOptions& options = {});

// The same checks, but reads only the header.
std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

// Writes to a temporary file beside `path`, syncs it, renames it over `path` and syncs the directory: at
// every moment `path` is the old file or the whole new one. Throws Error (with the system's reason) and
// removes the temporary file if anything fails.
void write_tensors(const std::filesystem::path& path, const TensorFile& file);
// The same bytes, into memory.
void write_tensors(MemoryFile& to, const TensorFile& file);

}  // namespace lamina
