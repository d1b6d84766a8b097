// Loops over threads that give the same bits for any number of threads: work is cut into chunks whose size
// depends only on the problem, and partial results are combined in the order of the chunks.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

#include "core/backend.h"
#include "core/base/rounding.h"
#include "core/thread_pool.h"

namespace lamina {

// body(begin, end, workspace) for consecutive ranges of at most `chunk` out of [0, n). Each thread makes a
// workspace of its own, which holds anything when a body starts. An exception is rethrown.
template <typename MakeWorkspace, typename Body>
void parallel_for(std::int64_t n, std::int64_t chunk, const MakeWorkspace& make_workspace, const Body& body) {
  const std::int64_t chunks = ceil_div(n, chunk);
  std::atomic<std::int64_t> next = 0;
  const auto take_chunks = [&] {
    auto&& workspace = make_workspace();
    for (std::int64_t c = next++; c < chunks; c = next++)
      body(c * chunk, std::min(n, (c + 1) * chunk), workspace);
  };
  if (chunks <= 1 || threads() == 1) return take_chunks();
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto take_chunks_or_fail = [&] {
    try {
      take_chunks();
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
    }
  };
  run_on_threads(static_cast<int>(std::min<std::int64_t>(threads(), chunks)), std::ref(take_chunks_or_fail));
  if (error) std::rethrow_exception(error);
}

// body(begin, end), without a workspace.
template <typename Body>
void parallel_for(std::int64_t n, std::int64_t chunk, const Body& body) {
  struct Nothing {};
  parallel_for(
      n, chunk, [] { return Nothing{}; },
      [&body](std::int64_t begin, std::int64_t end, Nothing) { body(begin, end); });
}

}  // namespace lamina
