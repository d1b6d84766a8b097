// Folders made for what may come to nothing.
#pragma once

#include <filesystem>
#include <vector>

namespace lamina {

class MadeFolders {
 public:
  MadeFolders() = default;
  // Makes the folder and what is missing above it. Throws Error with the system's reason; nothing is left
  // then.
  explicit MadeFolders(const std::filesystem::path& path);
  ~MadeFolders() { remove_empty(); }
  MadeFolders(MadeFolders&&) = default;
  MadeFolders& operator=(MadeFolders&&) = delete;

  void remove_empty();  // those that were made here and hold nothing

 private:
  std::vector<std::filesystem::path> made_;  // the innermost last
};

}  // namespace lamina
