#include "apps/config_file.h"

#include <algorithm>
#include <set>

#include "compare/toml_file.h"
#include "core/base/error.h"
#include "core/base/whole_file.h"
#include "optim/presets.h"
#include "train/recipe.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// One option, as far as a later one replaces it.
struct FileOption {
  std::string key;  // setting_key() of "milestones", "set.lambda"
  std::vector<std::string> arguments;
};

// "weight_decay" is how messages and files write "--weight-decay".
std::string key_of(std::string flag) {
  std::replace(flag.begin(), flag.end(), '-', '_');
  return train::setting_key(flag);
}

FileOption knob_option(const std::string& knob, const std::string& value) {
  return {train::setting_key("set." + knob), {fmt::format("--set={}={}", knob, value)}};
}

// Texts are given one by one, numbers at once.
FileOption plain_option(const std::string& name, const Json& value) {
  const auto is_text = [](const Json& one) { return one.is_string(); };
  FileOption option{key_of(name), {}};
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_text)) {
    option.arguments = {fmt::format("--{}={}", name, compare::plain_text(value))};
    return option;
  }
  for (const Json& one : value)
    option.arguments.push_back(fmt::format("--{}={}", name, one.get<std::string>()));
  return option;
}

// A table, a text "a=1 b=2" or a list of such texts.
std::vector<FileOption> knob_options(const Json& value) {
  std::vector<FileOption> options;
  if (value.is_object()) {
    for (const auto& [knob, setting] : value.items())
      options.push_back(knob_option(knob, compare::plain_text(setting)));
    return options;
  }
  for (const Json& text : value.is_array() ? value : Json::array({value}))
    for (const auto& [knob, setting] : parse_settings(compare::plain_text(text)))
      options.push_back(knob_option(knob, setting));
  return options;
}

std::vector<FileOption> options_of(std::string name, const Json& value, const std::string& file) {
  if (name == "set") return knob_options(value);
  if (value.is_object()) fail_usage("{}: unknown section [{}]; expected [set], or no section", file, name);
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "config") fail_usage("{}: a config file cannot name another", file);
  return {plain_option(name, value)};
}

// Options that a run left unset are null there.
Json options_of_run(const std::string& text, const std::string& file) {
  const Json config = Json::parse(text, nullptr, false);
  if (config.is_discarded()) fail_usage("{}: begins as JSON does, but is none, or is damaged", file);
  const Json options = config.value("options", Json());
  if (!options.is_object())
    fail_usage("{}: no \"options\"; expected a run's config.json, or a file in TOML", file);
  if (options.contains("objective"))
    fail_usage("{}: of a run of a program of its own, which has other options than lamina train", file);
  Json given = Json::object();
  for (const auto& [name, value] : options.items())
    if (!value.is_null()) given[name] = value;
  return given;
}

void check_kind(const fs::path& path) {
  std::error_code unknown;  // what cannot be looked at, cannot be read either, and that says why
  const fs::file_status status = fs::status(path, unknown);
  if (fs::is_directory(status))
    fail_usage("--config {0}: a folder; expected a file{1}", path.string(),
               fs::exists(path / "config.json", unknown)
                   ? fmt::format(", such as {}", (path / "config.json").string())
                   : "");
  if (fs::exists(status) && !fs::is_regular_file(status))
    fail_usage(
        "--config {}: not a regular file but a pipe, a socket or a device; write the options to a file",
        path.string());
}

std::vector<FileOption> read_options(const fs::path& path) {
  check_kind(path);
  const std::string text = read_text(path), file = path.string();
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string::npos && text[first] == '{';
  const Json values = is_json ? options_of_run(text, file) : compare::parse_toml(text, file);
  std::vector<FileOption> options;
  for (const auto& [name, value] : values.items())
    for (FileOption& option : options_of(name, value, file)) options.push_back(std::move(option));
  return options;
}

// What the arguments behind the subcommand give, as FileOption::key.
std::set<std::string> keys_given(const std::vector<std::string>& arguments) {
  std::set<std::string> keys;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!argument.starts_with("--")) continue;
    const std::size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (name == "set") {
      const bool joined = equals != std::string::npos;
      if (!joined && i + 1 == arguments.size()) break;  // the parser says what is missing
      for (const auto& [knob, value] :
           parse_settings(joined ? argument.substr(equals + 1) : arguments[i + 1]))
        keys.insert(train::setting_key("set." + knob));
    }
    if (name.starts_with("no-")) name.erase(0, 3);  // --no-deterministic
    keys.insert(key_of(std::move(name)));
  }
  return keys;
}

// In their order.
std::vector<fs::path> config_files(const std::vector<std::string>& arguments) {
  const std::string flag = "--config", joined = flag + "=";
  std::vector<fs::path> files;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i].starts_with(joined)) files.emplace_back(arguments[i].substr(joined.size()));
    if (arguments[i] == flag && i + 1 < arguments.size()) files.emplace_back(arguments[++i]);
  }
  return files;
}

}  // namespace

std::vector<std::string> read_config_file(const fs::path& path) {
  std::vector<std::string> arguments;
  for (const FileOption& option : read_options(path))
    arguments.insert(arguments.end(), option.arguments.begin(), option.arguments.end());
  return arguments;
}

std::vector<std::string> insert_config_files(std::vector<std::string> arguments) {
  std::vector<fs::path> files = config_files(arguments);
  if (files.empty()) return arguments;
  std::set<std::string> given = keys_given(arguments);
  std::reverse(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::vector<std::string> inserted;
    std::set<std::string> here;
    for (const FileOption& option : read_options(file)) {
      if (!given.contains(option.key))
        inserted.insert(inserted.end(), option.arguments.begin(), option.arguments.end());
      here.insert(option.key);
    }
    given.merge(here);
    arguments.insert(arguments.begin() + 1, inserted.begin(), inserted.end());
  }
  return arguments;
}

}  // namespace lamina::app
