#include "compare/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace lamina::compare {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const toml::node& node, const std::string& file);

// toml++ sorts keys by name; where they stood is known.
Json table_to_json(const toml::table& table, const std::string& file) {
  struct Entry {
    toml::source_position position;
    std::string key;
    const toml::node* value;
  };
  std::vector<Entry> entries;
  for (const auto& [key, value] : table) {
    entries.push_back({key.source().begin, std::string(key.str()), &value});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.position < b.position; });
  Json json = Json::object();
  for (const Entry& entry : entries) json[entry.key] = to_json(*entry.value, file);
  return json;
}

Json array_to_json(const toml::array& array, const std::string& file) {
  Json json = Json::array();
  for (const toml::node& element : array) json.push_back(to_json(element, file));
  return json;
}

Json to_json(const toml::node& node, const std::string& file) {
  if (const toml::table* table = node.as_table()) return table_to_json(*table, file);
  if (const toml::array* array = node.as_array()) return array_to_json(*array, file);
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  fail_usage("{}:{}: a date or time; expected text, a number, true or false, a list or a table", file,
             node.source().begin.line);
}

}  // namespace

nlohmann::ordered_json parse_toml(const std::string& text, const std::string& file) {
  try {
    return table_to_json(toml::parse(text), file);
  } catch (const toml::parse_error& error) {
    fail_usage("{}:{}: {}", file, error.source().begin.line, error.description());
  }
}

std::string plain_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());  // JSON has no infinity
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& element : value) text += (text.empty() ? "" : ",") + plain_text(element);
  return text;
}

}  // namespace lamina::compare
