// A file opened for reading, checked like one that is written. Nothing but a regular file is opened: a FIFO
// without a writer would wait for ever, and to open a device may do something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/base/file_kind.h"

namespace lamina {

class RegularFile {
 public:
  // Throws ReadError with the path and the system's reason, or what is there instead of a regular file.
  explicit RegularFile(const std::filesystem::path& path);
  ~RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  const std::string& name() const { return name_; }  // the path, printable
  std::uint64_t size() const { return size_; }       // bytes, when it was opened

  // The next bytes: as many as asked for, fewer only at the end of the file. Goes on after interruptions and
  // short reads; throws ReadError with the system's reason for what cannot be read.
  std::size_t read(void* to, std::size_t bytes);
  // Those from `offset` on, wherever read() is; all of them, or ReadError.
  void read_at(std::uint64_t offset, void* to, std::size_t bytes) const;

  // All of it as memory, which processes that map the same file share until they write there: what one of
  // them writes is its own, and never the file's. Whoever makes the file shorter meanwhile ends this program.
  std::shared_ptr<std::byte> map() const;

 private:
  std::string name_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace lamina
