// Files that may be compressed by gzip. zlib's own gzopen() would wait at a FIFO, give up where it is
// interrupted, and pass over what stands behind the end.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/regular_file.h"

namespace lamina::data {

// Reads plain and compressed files alike: which one it is, its first two bytes say.
class GzFile {
 public:
  explicit GzFile(const std::filesystem::path& path);  // throws Error as RegularFile does
  ~GzFile();
  GzFile(const GzFile&) = delete;
  GzFile& operator=(const GzFile&) = delete;

  // Up to `count` bytes; fewer at the end of the file. Throws Error for what is damaged or ends too early.
  std::size_t read(std::uint8_t* out, std::size_t count);
  const std::string& name() const { return file_.name(); }

 private:
  void refill();
  bool next_member();

  RegularFile file_;
  std::vector<std::uint8_t> input_;  // what stream_.next_in points into
  z_stream stream_{};
  bool compressed_ = false, ended_ = false;
};

}  // namespace lamina::data
