#include "apps/csv.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "core/safetensors.h"

namespace lamina {
namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Kept {
  std::string text;
  std::int64_t last = -1;
};

// A line without its newline was cut short by a crash and is dropped like those beyond the limit.
Kept keep_rows(const std::string& text, const std::string& header, std::int64_t keep_through,
               const std::filesystem::path& path) {
  Kept kept{header + "\n"};
  if (text.find('\n') == std::string::npos) return kept;
  check(text.starts_with(kept.text),
        "{}: its columns are not \"{}\": written by another version; move it away", path.string(), header);
  for (std::size_t begin = kept.text.size(); begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::int64_t key = std::strtoll(text.c_str() + begin, nullptr, 10);
    if (key > keep_through) break;
    kept.text += text.substr(begin, end + 1 - begin);
    kept.last = key;
    begin = end + 1;
  }
  return kept;
}

}  // namespace

CsvFile::CsvFile(std::filesystem::path path, const std::string& header, std::int64_t keep_through)
    : path_(std::move(path)) {
  const Kept kept = keep_rows(read_text(path_), header, keep_through, path_);
  last_ = kept.last;
  write_file_atomically(path_, kept.text);
  file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  check(file_ >= 0, "{}: cannot be opened for writing: {}", path_.string(), std::strerror(errno));
}

CsvFile::~CsvFile() {
  try {
    flush();
  } catch (const Error&) {  // only reached while another error is on its way out
  }
  ::close(file_);
}

void CsvFile::add(const std::string& row) {
  last_ = std::strtoll(row.c_str(), nullptr, 10);
  buffer_ += row + "\n";
  if (std::chrono::steady_clock::now() - flushed_ > std::chrono::seconds(1)) flush();
}

void CsvFile::flush() {
  flushed_ = std::chrono::steady_clock::now();
  while (!buffer_.empty()) {
    const ssize_t written = ::write(file_, buffer_.data(), buffer_.size());
    if (written < 0 && errno == EINTR) continue;
    check(written > 0, "{}: writing failed: {}; free some space, then continue with --resume", path_.string(),
          std::strerror(errno));
    buffer_.erase(0, static_cast<std::size_t>(written));
  }
}

void CsvFile::sync() {
  flush();
  check(::fsync(file_) == 0, "{}: writing failed: {}", path_.string(), std::strerror(errno));
}

}  // namespace lamina
