// A file that one process at a time works with.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

namespace lamina {

class LockedFile {
 public:
  // Opens it for appending, made if it is not there, and locks it against others that do this, until it is
  // destroyed or the process ends, however it ends. If another one has it, `on_wait` is called, and it is
  // waited for; unset: as long as it takes.
  LockedFile(const std::filesystem::path& path, std::optional<std::chrono::milliseconds> patience,
             const std::function<void()>& on_wait = {});
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  bool locked() const { return locked_; }  // false: another has it; or it cannot be opened or locked
  bool is_anothers() const { return waited_ && !locked_; }
  bool append(std::string_view line) const;  // whether all of it is there

 private:
  int descriptor_;
  bool locked_ = false, waited_ = false;
};

}  // namespace lamina
