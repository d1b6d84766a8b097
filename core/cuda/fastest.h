// The fastest of several ways to compute the same, by trying them in turn.
#pragma once

#include <algorithm>
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
  std::string error;  // of the last that failed
};

// milliseconds(i, shortest so far) tries way i: nothing if it is out of the question, Error if it fails. At
// least `most` ways are tried, if there are so many, and then until one works. admitted(i): it may be chosen.
// With `most` one, others are not even tried.
template <typename Admitted, typename Milliseconds>
Fastest find_fastest(std::size_t ways, int most, const Admitted& admitted, const Milliseconds& milliseconds) {
  Fastest found;
  for (std::size_t i = 0; i < ways && (found.tried < most || !found.way.has_value()); ++i) {
    if (most == 1 && !admitted(i)) continue;
    try {
      const std::optional<double> time = milliseconds(i, found.milliseconds);
      if (!time.has_value()) continue;
      ++found.tried;
      if (!admitted(i)) {
        found.forgone_milliseconds = std::min(found.forgone_milliseconds, *time);
      } else if (*time < found.milliseconds) {
        found.milliseconds = *time;
        found.way = i;
      }
    } catch (const Error& failed) {  // no memory for its workspace, perhaps; others need less
      found.error = failed.what();
    }
  }
  return found;
}

}  // namespace lamina::cuda
