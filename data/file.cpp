#include "data/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>

#include "core/backend.h"
#include "core/base/error.h"

namespace lamina::data {

namespace {

// Of the last call that failed; errno is not always set when a stream gives up.
std::string reason() {
  return errno != 0 ? std::generic_category().message(errno) : "it ends before its size is reached";
}

}  // namespace

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  std::error_code ignored;
  check(!std::filesystem::is_directory(path, ignored), "{}: is a directory; expected a file", path.string());
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  check(file.is_open(), "{}: cannot be opened: {}", path.string(), reason());
  file.seekg(0, std::ios::end);
  const std::streamoff size = file.tellg();
  check(size >= 0, "{}: cannot be read: {}", path.string(), reason());
  file.seekg(0);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  file.read(reinterpret_cast<char*>(bytes.data()), size);
  check(file.gcount() == size, "{}: cannot be read: {}", path.string(), reason());
  return bytes;
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  std::istringstream text(std::string(bytes.begin(), bytes.end()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

void for_each_index(std::int64_t n, int threads, const std::function<void(std::int64_t)>& body) {
  const auto wanted = threads > 0 ? static_cast<std::int64_t>(threads)
                                  : std::max<std::int64_t>(1, std::thread::hardware_concurrency());
  std::atomic<std::int64_t> next = 0;
  std::atomic<std::int64_t> failed = n;  // lowest index that threw
  std::mutex mutex;
  std::exception_ptr error;
  // Indices are taken in rising order, so every one below `failed` has been taken and will be finished.
  const auto work = [&] {
    const SerialScope serial;
    for (std::int64_t i = next++; i < n && i < failed; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) {
          failed = i;
          error = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    for (std::int64_t t = 1; t < std::min(wanted, n); ++t) pool.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace lamina::data
