// A file that lies in memory alone: what processes of one machine hand to one another without a copy for
// each.
#pragma once

#include <cstddef>
#include <filesystem>

namespace lamina {

class MemoryFile {
 public:
  // All members throw Error with the system's reason.
  MemoryFile();
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void seal();  // from here on nobody can write to it or make it shorter, whoever has it open

  // By which other processes of the user open it as long as this object lives. Its memory is freed when,
  // after that, the last of them has closed it and let go of what it has mapped (RegularFile::map()).
  std::filesystem::path path() const;

 private:
  int descriptor_ = -1;
};

}  // namespace lamina
