// A file that is written in place, for what may end anywhere and is taken up again: no half of a result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace lamina {

class WrittenFile {
 public:
  // What is in the file stays; it is made if it is not there. Throws Error with the path and the system's
  // reason.
  explicit WrittenFile(const std::filesystem::path& path);
  ~WrittenFile();
  WrittenFile(const WrittenFile&) = delete;
  WrittenFile& operator=(const WrittenFile&) = delete;

  // All of it, after interruptions and short writes too; throws Error with the system's reason.
  void write_at(std::uint64_t offset, const void* data, std::size_t bytes);

 private:
  std::string name_;
  int descriptor_ = -1;
};

}  // namespace lamina
