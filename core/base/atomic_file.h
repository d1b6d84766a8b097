// A file that appears whole or not at all: written under a temporary name in the same directory, synced,
// renamed over its target, and the directory synced (a rename alone does not survive a power failure).
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace lamina {

// All members throw Error (path, the system's reason). Until commit() has renamed it, the target is
// untouched.
class AtomicFile {
 public:
  // Symbolic links are followed; a target that exists must be a regular file. The temporary file is called
  // "<target>.<process>-<count>.tmp".
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();  // removes the temporary file unless it was renamed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();
  bool replaced() const { return renamed_; }  // the target is the new file, even where commit() threw

 private:
  [[noreturn]] void fail_with_errno(const char* action) const;
  void sync_directory() const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// The name of the target that a temporary file of this name belongs to; empty for any other name. A killed
// process leaves it behind.
std::string_view target_of_temporary(std::string_view name);

// Removes those in a folder whose targets `is_own` knows. What cannot be removed stays.
void remove_temporaries(const std::filesystem::path& folder,
                        const std::function<bool(std::string_view target)>& is_own);

// Writes `contents` in that way. Throws as AtomicFile does.
void write_file_atomically(const std::filesystem::path& path, const std::string& contents);

}  // namespace lamina
