// Numbers as people write them, and which of them an option takes.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace lamina {

// Finite numbers between two bounds, which belong to them unless `least_excluded` or `most_excluded`.
struct NumberRange {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool least_excluded = false, most_excluded = false;

  bool contains(double value) const;  // no NaN, no infinity
};

constexpr NumberRange at_least(double least) { return {.least = least}; }
constexpr NumberRange above(double bound) { return {.least = bound, .least_excluded = true}; }
constexpr NumberRange between(double least, double most) { return {.least = least, .most = most}; }
constexpr NumberRange share_below_1() { return {.least = 0, .most = 1, .most_excluded = true}; }

// "a whole number of at least 0 and at most 4096", "a finite number of at least 0"; T: int, std::int64_t,
// std::uint64_t, float or double.
template <typename T>
std::string describe_range(const NumberRange& range);

// Throws UsageError, "--batch 0: expected a whole number of at least 1", unless the number is in the range.
template <typename T>
void check_number(std::string_view name, T value, const NumberRange& range);

// The number that the whole text is, with the same check. Throws UsageError for anything else: "5x", a whole
// number that T cannot hold.
template <typename T>
T parse_number(std::string_view name, std::string_view text, const NumberRange& range = {});

}  // namespace lamina
