#include "apps/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace lamina::app {
namespace {

using train::DeviceOptions;
using train::OptionInfo;
using train::Recipe;

// Device options are a recipe's too, and have their help there.
const char* help_of(std::string_view name) {
  const char* help = "";
  const Recipe recipe;
  visit_options(recipe, [&](const OptionInfo& info, const auto&) {
    if (name == info.name) help = info.help;
  });
  return help;
}

// What an option takes, and the command that lists it where there is one.
std::string help_text(const OptionInfo& info) {
  const std::string_view name = info.name;
  if (name == "optimizer") return fmt::format("{}; lamina info --presets lists them", info.help);
  if (name == "augment" || name == "views")
    return fmt::format("{}; lamina info --views lists them", info.help);
  return info.help;
}

template <typename T>
void add_option(const Command& command, const OptionInfo& info, T& member) {
  if constexpr (train::is_numeric<T>)
    command.option(flag_of(info.name), member, help_text(info), info.range);
  else
    command.option(flag_of(info.name), member, help_text(info));
}

// What follows the flag, once for each: texts one by one, numbers at once.
std::vector<std::string> texts_of(const nlohmann::json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) return {value.dump()};
  std::vector<std::string> texts, numbers;
  for (const nlohmann::json& one : value)
    (one.is_string() ? texts : numbers).push_back(texts_of(one).front());
  if (!numbers.empty()) texts.push_back(fmt::format("{}", fmt::join(numbers, ",")));
  return texts;
}

}  // namespace

// What a shell may take for its own is not listed here: shells differ.
std::string quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("%+,-./:=@_").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string flag_of(std::string_view name) {
  std::string flag = "--" + std::string(name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string name_in_messages(std::string_view name) { return flag_of(name == "directory" ? "out" : name); }

void add_options(const Command& command, Recipe& recipe) {
  visit_options(recipe, [&](const OptionInfo& info, auto& member) { add_option(command, info, member); });
}

void add_all_options(const Command& command, Recipe& recipe) {
  visit_all_options(recipe, [&](const OptionInfo& info, auto& member) { add_option(command, info, member); });
}

std::set<std::string> given_options(const Command& command) {
  std::set<std::string> names;
  const Recipe recipe;
  visit_all_options(recipe, [&](const OptionInfo& info, const auto&) {
    if (command.given(flag_of(info.name))) names.insert(info.name);
  });
  return names;
}

std::string command_name(const Recipe& recipe) { return recipe.method ? "lamina pretrain" : "lamina train"; }

std::string command_line(const Recipe& recipe) {
  const nlohmann::json values = to_json(recipe), defaults = train::default_options();
  std::string text = command_name(recipe);
  visit_options(recipe, [&](const OptionInfo& info, const auto&) {
    const nlohmann::json& value = values[info.name];
    if (value == defaults[info.name]) return;
    if (value.is_boolean()) {
      text += " " + flag_of(value.get<bool>() ? info.name : fmt::format("no-{}", info.name));
      return;
    }
    for (const std::string& one : texts_of(value)) text += " " + flag_of(info.name) + " " + quoted(one);
  });
  return text;
}

void add_options(const Command& command, DeviceOptions& options) {
  command.option("--device", options.device, help_of("device"));
  command.option("--threads", options.threads, help_of("threads"), train::thread_range);
  command.option("--tf32", options.tf32, help_of("tf32"));
  command.option("--deterministic", options.deterministic, help_of("deterministic"));
  command.option("--memory-limit", options.memory_limit, help_of("memory_limit"), train::memory_limit_range,
                 "GIB");
}

void add_precision(const Command& command, DeviceOptions& options) {
  command.option("--precision", options.precision, help_of("precision"));
}

void add_image_options(const Command& command, std::optional<int>& image_size, bool& skip_damaged,
                       std::optional<std::int64_t>& max_pixels) {
  command.option("--image-size", image_size,
                 "folders: resize and crop to a square; 0: keep; default: as in training",
                 between(0, data::most_image_size));
  command.option("--skip-damaged", skip_damaged, "folders: go on without images that cannot be decoded");
  command.option(
      "--max-pixels", max_pixels,
      fmt::format("folders: refuse larger images; default: as in training, else {}", data::max_pixels),
      at_least(1));
}

void add_options(const Command& command, train::ModelOptions& options, bool guesses_statistics) {
  command.option("--model", options.model, "for files that do not say it: resnet18, ...");
  command.option("--stem", options.stem, "cifar or imagenet");
  command.option("--shortcut", options.shortcut, "A or B");
  command.option("--mean", options.mean,
                 fmt::format("per channel, of pixels in 0 ... 1; default: the file's, {}",
                             guesses_statistics ? "else ImageNet's" : "which has to say it"),
                 between(0, 1));
  command.option("--std", options.std, "per channel",
                 NumberRange{.least = 0, .most = 1, .least_excluded = true});
  add_options(command, options.device);
  add_precision(command, options.device);
}

}  // namespace lamina::app
