#include "apps/command.h"
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "apps/commands.h"
#include "apps/config_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/version.h"

namespace lamina::app {
namespace {

std::vector<std::string> commands_below(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* below : command.get_subcommands({})) names.push_back(below->get_name());
  return names;
}

// The innermost command that the command line names; the program itself if it names none.
const CLI::App& chosen_command(const CLI::App& program) {
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

// "lamina bench ops"
std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : full_name(*parent) + " " + command.get_name();
}

[[noreturn]] void fail_unexpected(const CLI::App& command, const std::string& word) {
  const std::vector<std::string> commands = commands_below(command);
  if (!word.starts_with('-')) {
    if (!commands.empty()) fail_usage("unknown command \"{}\"; expected {}", word, fmt::join(commands, ", "));
    fail_usage("unexpected argument \"{}\"; {} --help shows the usage", word, full_name(command));
  }
  std::vector<std::string> options;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  const std::string flag = word.substr(0, word.find('='));
  fail_usage("unknown option {}; did you mean {}? {} --help lists all", flag, nearest(flag, options),
             full_name(command));
}

// What CLI11 found wrong, in our words where its own are unclear.
[[noreturn]] void fail_parse(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = chosen_command(program);
  const std::vector<std::string> extras = program.remaining(true);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    fail_unexpected(command, extras.front());
  }
  fail_usage("{}; {} --help shows the usage", error.what(), full_name(command));
}

}  // namespace

Command Command::add(const std::string& name, const std::string& help) const {
  return {*parser_->add_subcommand(name, help), *chosen_};
}

template <typename T>
void Command::argument(const std::string& name, T& value, const std::string& help) const {
  parser_->add_option(name, value, help)->required();
}

template <typename T>
void Command::option(const std::string& flag, T& value, const std::string& help,
                     const char* value_name) const {
  if constexpr (std::is_same_v<T, bool>) {
    parser_->add_flag(value ? flag + ",!--no-" + flag.substr(2) : flag, value, help);
  } else {
    CLI::Option* option = parser_->add_option(flag, value, help);
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      option->allow_extra_args(false);
    } else if constexpr (std::is_same_v<T, std::vector<double>> || std::is_same_v<T, std::vector<float>>) {
      option->delimiter(',')->allow_extra_args(false);
    } else {
      option->take_last()->capture_default_str();
    }
    if (value_name != nullptr) option->type_name(value_name);
  }
}

template void Command::argument(const std::string&, std::string&, const std::string&) const;
template void Command::argument(const std::string&, std::vector<std::string>&, const std::string&) const;
#define LAMINA_OPTION(...) \
  template void Command::option(const std::string&, __VA_ARGS__&, const std::string&, const char*) const
LAMINA_OPTION(bool);
LAMINA_OPTION(int);
LAMINA_OPTION(std::int64_t);
LAMINA_OPTION(std::uint64_t);
LAMINA_OPTION(double);
LAMINA_OPTION(std::string);
LAMINA_OPTION(std::optional<double>);
LAMINA_OPTION(std::optional<std::string>);
LAMINA_OPTION(std::vector<std::string>);
LAMINA_OPTION(std::vector<float>);
LAMINA_OPTION(std::vector<double>);
#undef LAMINA_OPTION

bool Command::given(const std::string& flag) const { return parser_->count(flag) > 0; }

void Command::runs(std::function<int()> action) const {
  parser_->callback([chosen = chosen_, action = std::move(action)] { *chosen = action; });
}

int run_command(int argc, char** argv) {
  CLI::App program("Lamina: train ResNets with LARS, LAMB, TVLARS, SGD and AdamW.", "lamina");
  program.set_version_flag("--version", version());
  std::function<int()> chosen;
  const Command commands(program, chosen);
  add_train_command(commands);
  add_eval_command(commands);
  add_predict_command(commands);
  add_replay_command(commands);
  add_report_command(commands);
  add_study_command(commands);
  add_find_lr_command(commands);
  add_augment_command(commands);
  add_info_command(commands);
  add_bench_command(commands);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    fmt::print(stderr, "{}", program.help());
    return 2;
  }
  arguments = insert_config_file(std::move(arguments));
  std::reverse(arguments.begin(), arguments.end());  // the order CLI11 takes them in
  try {
    program.parse(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    fail_parse(program, error);
  }
  if (!chosen) {
    const CLI::App& group = chosen_command(program);
    fail_usage("{}: say which: {}", full_name(group), fmt::join(commands_below(group), ", "));
  }
  return chosen();
}

}  // namespace lamina::app
