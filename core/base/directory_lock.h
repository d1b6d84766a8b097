// One process at a time writes in a directory.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace lamina {

// Held until it is destroyed or the process ends, however it ends.
class DirectoryLock {
 public:
  // Throws Error(message) if another process holds it. File systems without locks are used unlocked.
  DirectoryLock(const std::filesystem::path& directory, const std::string& message);
  // Waits as long as another process holds it; `on_wait` is called before, if one does. Throws Error when an
  // InterruptHandler's signal comes meanwhile.
  DirectoryLock(const std::filesystem::path& directory, const std::function<void()>& on_wait);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  DirectoryLock& operator=(DirectoryLock&&) = delete;

 private:
  explicit DirectoryLock(const std::filesystem::path& directory);
  bool is_taken() const;  // by another process; else it is this one's now

  int descriptor_ = -1;
};

}  // namespace lamina
