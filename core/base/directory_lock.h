// One process at a time writes in a directory.
#pragma once

#include <filesystem>
#include <string>

namespace lamina {

// Held until it is destroyed or the process ends, however it ends.
class DirectoryLock {
 public:
  // Throws Error(message) if another process holds it. File systems without locks are used unlocked.
  DirectoryLock(const std::filesystem::path& directory, const std::string& message);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  DirectoryLock& operator=(DirectoryLock&&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace lamina
