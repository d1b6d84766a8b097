#include "data/file.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>

#include "core/backend.h"
#include "core/base/resource_limits.h"
#include "core/base/whole_file.h"

namespace lamina::data {

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::istringstream text(read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::int64_t start_threads(std::int64_t wanted, const std::function<void()>& start) {
  for (std::int64_t started = 0; started < wanted; ++started) {
    try {
      start();
    } catch (const std::system_error&) {
      return started;
    }
  }
  return std::max<std::int64_t>(wanted, 0);
}

void for_each_index(std::int64_t n, int threads, const std::function<void(std::int64_t)>& body) {
  const auto wanted = threads > 0 ? static_cast<std::int64_t>(threads) : usable_cores().count();
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
    start_threads(std::min(wanted, n) - 1, [&] { pool.emplace_back(work); });
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace lamina::data
