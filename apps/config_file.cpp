#include "apps/config_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>

#include "core/error.h"

namespace lamina {
namespace {

// The arguments of one line.
std::vector<std::string> arguments_of(CLI::ConfigItem item, const std::filesystem::path& path) {
  if (item.name == "++" || item.name == "--") return {};  // CLI11's marks around a section
  if (item.parents == std::vector<std::string>{"set"}) {
    return {"--set", fmt::format("{}={}", item.name, fmt::join(item.inputs, ","))};
  }
  if (!item.parents.empty()) {
    fail_usage("{}: unknown section [{}]; expected [set], or no section", path.string(),
               item.parents.front());
  }
  std::replace(item.name.begin(), item.name.end(), '_', '-');
  if (item.name == "config") fail_usage("{}: a config file cannot name another", path.string());
  std::vector<std::string> arguments;
  for (const std::string& input : item.inputs) arguments.push_back(fmt::format("--{}={}", item.name, input));
  return arguments;
}

}  // namespace

std::vector<std::string> read_config_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  check(file.good() && !std::filesystem::is_directory(path), "--config {}: cannot be read", path.string());
  std::vector<std::string> arguments;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(file)) {
      for (std::string& argument : arguments_of(item, path)) arguments.push_back(std::move(argument));
    }
  } catch (const CLI::Error& error) {
    fail_usage("--config {}: {}", path.string(), error.what());
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

}  // namespace lamina
