// Numbers in JSON, which has none that are not finite: those are the strings "NaN", "Infinity" and
// "-Infinity".
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/error.h"

namespace lamina {

nlohmann::json json_number(double value);

// The number that json_number() wrote; null, as files of before have it, is NaN. Throws nlohmann's exceptions
// for what is no number.
double number_from_json(const nlohmann::json& json);

// Nothing for what is no whole number, or none that fits. nlohmann's get() converts whatever number is there.
template <std::integral T>
std::optional<T> whole_number(const nlohmann::json& json) {
  if (!json.is_number_integer()) return {};
  const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                              : std::in_range<T>(json.get<std::int64_t>());
  return fits ? std::optional(json.get<T>()) : std::nullopt;
}

// The same for what must be one; throws Error saying what is there.
template <std::integral T>
T whole_number_from_json(const nlohmann::json& json) {
  const std::optional<T> number = whole_number<T>(json);
  check(number.has_value(), "{}: expected a whole number of {} bits", json.dump(), 8 * sizeof(T));
  return *number;
}

}  // namespace lamina
