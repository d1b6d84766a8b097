// The fastest of several ways to compute the same, by trying them in turn.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>

#include "core/base/error.h"

namespace lamina::cuda {

struct Fastest {
  static constexpr double never = std::numeric_limits<double>::infinity();

  std::optional<std::size_t> way;       // none: not one works
  double milliseconds = never;          // it takes
  double forgone_milliseconds = never;  // the fastest takes that is not admitted
  int tried = 0;
  double slow_seconds = 0;  // that the slow ways have taken
  std::string error;        // of the last that failed
};

// What there is to be tried.
struct Ways {
  std::size_t count;
  int most;                        // of the quick ones
  std::size_t first_slow = count;  // from here on they take long to prepare
  double slow_seconds = 0;         // once these have passed no other slow one is begun
};

// milliseconds(i, shortest so far) tries way i: nothing if it is out of the question, Error if it fails.
// Ways are tried in order, as many as they say, and beyond that until one works. admitted(i): it may be
// chosen. With `most` one, others are not even tried.
template <typename Admitted, typename Milliseconds>
Fastest find_fastest(const Ways& ways, const Admitted& admitted, const Milliseconds& milliseconds) {
  using Clock = std::chrono::steady_clock;
  Fastest found;
  const auto is_due = [&](std::size_t i) {
    if (ways.most == 1 && !admitted(i)) return false;
    if (!found.way.has_value()) return true;
    return i < ways.first_slow ? found.tried < ways.most : found.slow_seconds < ways.slow_seconds;
  };
  for (std::size_t i = 0; i < ways.count; ++i) {
    if (!is_due(i)) continue;
    const Clock::time_point start = Clock::now();
    try {
      const std::optional<double> time = milliseconds(i, found.milliseconds);
      if (time.has_value()) {
        ++found.tried;
        if (!admitted(i)) {
          found.forgone_milliseconds = std::min(found.forgone_milliseconds, *time);
        } else if (*time < found.milliseconds) {
          found.milliseconds = *time;
          found.way = i;
        }
      }
    } catch (const Error& failed) {  // no memory for its workspace, perhaps; others need less
      found.error = failed.what();
    }
    if (i >= ways.first_slow)
      found.slow_seconds += std::chrono::duration<double>(Clock::now() - start).count();
  }
  return found;
}

}  // namespace lamina::cuda
