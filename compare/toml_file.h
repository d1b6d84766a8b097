// Reading TOML (toml.io).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lamina::compare {

// As JSON, the keys in the order in which the text has them. Throws UsageError naming the file and the line
// if it is not TOML or holds a date or a time, for which nothing here has a use.
nlohmann::ordered_json parse_toml(const std::string& text, const std::string& file);

// A value as one writes it on the command line: text without quotes, 0.001, inf, true, 50,75.
std::string plain_text(const nlohmann::ordered_json& value);

}  // namespace lamina::compare
