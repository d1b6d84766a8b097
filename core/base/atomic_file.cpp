#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "core/base/directory_entries.h"
#include "core/base/error.h"

namespace lamina {

namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

template <typename Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// There may be nothing, but whether there is must be known.
fs::file_status known(fs::file_status (*look)(const fs::path&, std::error_code&), const fs::path& path) {
  std::error_code error;
  const fs::file_status status = look(path, error);
  check(status.type() != fs::file_type::none, "writing {}: cannot be looked at: {}", path.string(),
        error.message());
  return status;
}

fs::path followed(const fs::path& path) {
  std::error_code error;
  const bool link = fs::is_symlink(known(fs::symlink_status, path));
  fs::path target = link ? fs::weakly_canonical(path, error) : path;
  check(!error, "writing {}: cannot follow the link: {}", path.string(), error.message());
  const fs::file_status status = known(fs::status, target);
  check(!fs::exists(status) || fs::is_regular_file(status),
        "writing {}: it exists and is not a regular file; choose another path", path.string());
  return target;
}

// Takes ".12", one or more digits after `mark`, off the end; false if they are not there.
bool take_number(std::string_view& name, char mark) {
  const std::size_t end = name.find_last_not_of("0123456789");
  if (end == std::string_view::npos || end + 1 == name.size() || name[end] != mark) return false;
  name = name.substr(0, end);
  return true;
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& path) : target_(followed(path)) {
  static std::atomic<unsigned> count{0};
  do {
    temporary_ = target_;
    temporary_ += fmt::format(".{}-{}.tmp", ::getpid(), count++);
    descriptor_ = retry_interrupted(
        [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  } while (descriptor_ < 0 && errno == EEXIST);
  const fs::path folder = target_.parent_path();
  std::error_code unknown;
  check(descriptor_ >= 0 || errno != ENOENT || folder.empty() || fs::exists(folder, unknown),
        "writing {}: there is no folder {}; make it first", target_.string(), folder.string());
  if (descriptor_ < 0) fail_with_errno("creating a temporary file beside it");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!renamed_ && !temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail_with_errno(const char* action) const {
  const int error = errno;
  fail("writing {}: {} failed: {}; {}", target_.string(), action, reason(error),
       renamed_ ? "the new file is in place but may not survive a power failure"
                : "nothing was changed; check the path, its permissions and the free space");
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  constexpr std::size_t most_per_call = std::size_t{1} << 30;  // Linux writes less than 2 GiB at once
  const auto* next = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const std::size_t wanted = std::min(bytes, most_per_call);
    const ssize_t written = retry_interrupted([&] { return ::write(descriptor_, next, wanted); });
    if (written < 0) fail_with_errno("writing");
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (retry_interrupted([&] { return ::fsync(descriptor_); }) != 0) fail_with_errno("syncing");
  const int closed = ::close(descriptor_);
  descriptor_ = -1;  // closed even when close() reports an error
  if (closed != 0 && errno != EINTR) fail_with_errno("closing");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with_errno("renaming the temporary file");
  renamed_ = true;
  sync_directory();
}

void AtomicFile::sync_directory() const {
  const fs::path parent = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
  const int directory =
      retry_interrupted([&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (directory < 0) fail_with_errno("opening its directory");
  const int synced = retry_interrupted([&] { return ::fsync(directory); });
  const int error = errno;
  ::close(directory);
  errno = error;
  // Some file systems cannot sync a directory, and say EINVAL.
  if (synced != 0 && error != EINVAL) fail_with_errno("syncing its directory");
}

std::string_view target_of_temporary(std::string_view name) {
  constexpr std::string_view suffix = ".tmp";
  if (!name.ends_with(suffix)) return {};
  name.remove_suffix(suffix.size());
  return take_number(name, '-') && take_number(name, '.') ? name : std::string_view();
}

void remove_temporaries(const fs::path& folder, const std::function<bool(std::string_view)>& is_own) {
  std::error_code ignored;
  for (const fs::path& file : entries_of(folder)) {
    const std::string name = file.filename().string();
    const std::string_view target = target_of_temporary(name);
    if (!target.empty() && is_own(target)) fs::remove(file, ignored);
  }
}

void write_file_atomically(const fs::path& path, const std::string& contents) {
  AtomicFile file(path);
  file.write(contents.data(), contents.size());
  file.commit();
}

}  // namespace lamina
