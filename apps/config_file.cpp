#include "apps/config_file.h"

#include <algorithm>

#include "compare/toml_file.h"
#include "core/base/error.h"
#include "core/base/text_file.h"

namespace lamina::app {
namespace {

using Json = nlohmann::ordered_json;

// The arguments of one line, or of the section [set].
std::vector<std::string> arguments_of(std::string name, const Json& value, const std::string& file) {
  std::vector<std::string> arguments;
  if (name == "set" && value.is_object()) {
    for (const auto& [knob, setting] : value.items()) {
      arguments.insert(arguments.end(), {"--set", knob + "=" + compare::plain_text(setting)});
    }
    return arguments;
  }
  if (value.is_object()) fail_usage("{}: unknown section [{}]; expected [set], or no section", file, name);
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "config") fail_usage("{}: a config file cannot name another", file);
  for (const Json& one : value.is_array() ? value : Json::array({value})) {
    arguments.push_back(fmt::format("--{}={}", name, compare::plain_text(one)));
  }
  return arguments;
}

}  // namespace

std::vector<std::string> read_config_file(const std::filesystem::path& path) {
  const Json options = compare::parse_toml(read_text(path), path.string());
  std::vector<std::string> arguments;
  for (const auto& [name, value] : options.items()) {
    for (std::string& argument : arguments_of(name, value, path.string())) {
      arguments.push_back(std::move(argument));
    }
  }
  return arguments;
}

std::vector<std::string> insert_config_file(std::vector<std::string> arguments) {
  const auto is_config = [](const std::string& a) { return a == "--config" || a.starts_with("--config="); };
  const auto found = std::find_if(arguments.begin(), arguments.end(), is_config);
  if (found == arguments.end() || found == arguments.begin()) return arguments;
  const bool joined = found->starts_with("--config=");
  if (!joined && found + 1 == arguments.end()) return arguments;  // the parser says what is missing
  const std::string path = joined ? found->substr(found->find('=') + 1) : *(found + 1);
  const std::vector<std::string> inserted = read_config_file(path);
  arguments.insert(arguments.begin() + 1, inserted.begin(), inserted.end());
  return arguments;
}

}  // namespace lamina::app
