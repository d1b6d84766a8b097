// Loops over threads that give the same bits for any number of threads: work is cut into chunks whose size
// depends only on the problem, and partial results are combined in the order of the chunks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include "core/backend.h"

namespace lamina::cpu {

// body(begin, end) for consecutive ranges of at most `chunk` out of [0, n). An exception in a body is
// rethrown.
template <typename Body>
void parallel_for(std::int64_t n, std::int64_t chunk, const Body& body) {
  const std::int64_t chunks = (n + chunk - 1) / chunk;
  if (chunks <= 1 || threads() == 1) {
    for (std::int64_t c = 0; c < chunks; ++c) body(c * chunk, std::min(n, (c + 1) * chunk));
    return;
  }
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads())
  for (std::int64_t c = 0; c < chunks; ++c) {
    try {
      body(c * chunk, std::min(n, (c + 1) * chunk));
    } catch (...) {
#pragma omp critical(lamina_parallel_error)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace lamina::cpu
