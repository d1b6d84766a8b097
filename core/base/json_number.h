// Numbers in JSON, which has none that are not finite: those are the strings "NaN", "Infinity" and
// "-Infinity".
#pragma once

#include <nlohmann/json.hpp>

namespace lamina {

nlohmann::json json_number(double value);

// The number that json_number() wrote; null, as files of before have it, is NaN. Throws nlohmann's exceptions
// for what is no number.
double number_from_json(const nlohmann::json& json);

}  // namespace lamina
