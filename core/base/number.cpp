#include "core/base/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>

#include "core/base/error.h"

namespace lamina {

bool NumberRange::contains(double value) const {
  return std::isfinite(value) && (least_excluded ? value > least : value >= least) &&
         (most_excluded ? value < most : value <= most);
}

template <typename T>
std::string describe_range(const NumberRange& range) {
  const char* kind = std::integral<T> ? "a whole number" : "a finite number";
  NumberRange held = range;  // what T can hold is a bound, too
  if constexpr (std::unsigned_integral<T>) held.least = std::max(held.least, 0.0);
  const bool has_least = std::isfinite(held.least), has_most = std::isfinite(held.most);
  const std::string least = fmt::format("{} {}", held.least_excluded ? "more than" : "at least", held.least);
  const std::string most = fmt::format("{} {}", held.most_excluded ? "less than" : "at most", held.most);
  if (has_least && has_most) return fmt::format("{} of {} and {}", kind, least, most);
  if (!has_least && !has_most) return kind;
  return fmt::format("{} of {}", kind, has_least ? least : most);
}

template <typename T>
void check_number(std::string_view name, T value, const NumberRange& range) {
  if (!range.contains(static_cast<double>(value)))
    fail_usage("{} {}: expected {}", name, value, describe_range<T>(range));
}

template <typename T>
T parse_number(std::string_view name, std::string_view text, const NumberRange& range) {
  T value{};
  const char* const end = text.data() + text.size();
  const bool has_plus = text.starts_with('+') && !text.starts_with("+-");  // from_chars() takes none
  const char* const begin = text.data() + (has_plus ? 1 : 0);
  const auto [last, error] = std::from_chars(begin, end, value);
  if (error == std::errc::result_out_of_range && last == end)
    fail_usage("{} {}: {}; expected {}", name, text,
               std::integral<T> ? "out of range" : "too large or too small to be told from 0",
               describe_range<T>(range));
  const bool whole = error == std::errc() && last == end;
  if (!whole || !range.contains(static_cast<double>(value)))
    fail_usage("{} {}: expected {}", name, text, describe_range<T>(range));
  return value;
}

#define LAMINA_NUMBER(T)                                               \
  template std::string describe_range<T>(const NumberRange&);          \
  template void check_number(std::string_view, T, const NumberRange&); \
  template T parse_number(std::string_view, std::string_view, const NumberRange&)
LAMINA_NUMBER(int);
LAMINA_NUMBER(std::int64_t);
LAMINA_NUMBER(std::uint64_t);
LAMINA_NUMBER(float);
LAMINA_NUMBER(double);
#undef LAMINA_NUMBER

}  // namespace lamina
