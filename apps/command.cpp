#include "apps/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <set>
#include <sstream>
#include <type_traits>
#include <vector>

#include "apps/commands.h"
#include "apps/config_file.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "core/base/version.h"
#include "core/instruction_set.h"
#include "core/parallel/collective.h"

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
    if (!commands.empty())
      fail_usage("unknown command \"{}\"; did you mean {}? Expected {}", word, nearest(word, commands),
                 fmt::join(commands, ", "));
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

// The names of its flags, for advice: is "micro_batch" among them?
std::function<bool(std::string_view)> options_of_command(const CLI::App& command) {
  std::set<std::string> flags;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) flags.insert("--" + name);
  return [flags](std::string_view name) { return flags.contains(name_in_messages(name)); };
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

template <typename T>
constexpr bool is_text = std::is_same_v<T, std::string> || std::is_same_v<T, std::optional<std::string>> ||
                         std::is_same_v<T, std::vector<std::string>>;

template <typename T>
void take_number(const std::string& flag, const CLI::results_t& texts, const NumberRange& range, T& value) {
  value = parse_number<T>(flag, texts.back(), range);
}
template <typename T>
void take_number(const std::string& flag, const CLI::results_t& texts, const NumberRange& range,
                 std::optional<T>& value) {
  value = parse_number<T>(flag, texts.back(), range);
}
template <typename T>
void take_number(const std::string& flag, const CLI::results_t& texts, const NumberRange& range,
                 std::vector<T>& values) {
  if (texts.size() > 1)
    fail_usage("{0} is given {1} times; give all its numbers at once: {0} {2}", flag, texts.size(),
               fmt::join(texts, ","));
  values.clear();
  std::string_view list = texts.front();
  for (std::size_t end = 0; end != std::string_view::npos; list.remove_prefix(std::min(end, list.size()))) {
    if (!values.empty()) list.remove_prefix(1);  // the comma
    end = list.find(',');
    values.push_back(parse_number<T>(flag, list.substr(0, end), range));
  }
}

// As CLI11 names types in the help.
template <typename T>
const char* number_name(const T&) {
  return std::unsigned_integral<T> ? "UINT" : std::integral<T> ? "INT" : "FLOAT";
}
template <typename T>
const char* number_name(const std::optional<T>&) {
  return number_name(T());
}
template <typename T>
const char* number_name(const std::vector<T>&) {
  return std::integral<T> ? "INT,..." : "FLOAT,...";
}

// --help and --version, which CLI11 takes for errors, too.
int print_asked_for(const CLI::App& program, const CLI::ParseError& asked_for) {
  std::ostringstream text;
  program.exit(asked_for, text, text);
  print_result("{}", text.str());
  return 0;
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
  } else if constexpr (is_text<T>) {
    CLI::Option* option = parser_->add_option(flag, value, help);
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      option->allow_extra_args(false);
    } else {
      option->take_last()->capture_default_str();
    }
    if (value_name != nullptr) option->type_name(value_name);
  } else {
    this->option(flag, value, help, NumberRange{}, value_name);
  }
}

// CLI11 would take -1 for 2^64 - 1, and "nan" for a number.
template <typename T>
void Command::option(const std::string& flag, T& value, const std::string& help, const NumberRange& range,
                     const char* value_name) const {
  const auto take = [flag, &value, range](const CLI::results_t& texts) {
    take_number(flag, texts, range, value);
    return true;
  };
  CLI::Option* option = parser_->add_option(flag, take, help);
  option->type_name(value_name != nullptr ? value_name : number_name(value));
  if constexpr (std::is_arithmetic_v<T>) option->default_str(fmt::format("{}", value));
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->expected(1)->allow_extra_args(false);
}

template void Command::argument(const std::string&, std::string&, const std::string&) const;
template void Command::argument(const std::string&, std::vector<std::string>&, const std::string&) const;
#define LAMINA_OPTION(...) \
  template void Command::option(const std::string&, __VA_ARGS__&, const std::string&, const char*) const
#define LAMINA_NUMBER_OPTION(...)                                                                         \
  LAMINA_OPTION(__VA_ARGS__);                                                                             \
  template void Command::option(const std::string&, __VA_ARGS__&, const std::string&, const NumberRange&, \
                                const char*) const
LAMINA_OPTION(bool);
LAMINA_OPTION(std::string);
LAMINA_OPTION(std::optional<std::string>);
LAMINA_OPTION(std::vector<std::string>);
LAMINA_NUMBER_OPTION(int);
LAMINA_NUMBER_OPTION(std::int64_t);
LAMINA_NUMBER_OPTION(std::uint64_t);
LAMINA_NUMBER_OPTION(double);
LAMINA_NUMBER_OPTION(std::optional<int>);
LAMINA_NUMBER_OPTION(std::optional<std::int64_t>);
LAMINA_NUMBER_OPTION(std::optional<double>);
LAMINA_NUMBER_OPTION(std::vector<int>);
LAMINA_NUMBER_OPTION(std::vector<float>);
LAMINA_NUMBER_OPTION(std::vector<double>);
#undef LAMINA_NUMBER_OPTION
#undef LAMINA_OPTION

bool Command::given(const std::string& flag) const {
  const CLI::Option* option = parser_->get_option_no_throw(flag);
  return option != nullptr && option->count() > 0;
}

void Command::runs(std::function<int()> action) const {
  parser_->callback([chosen = chosen_, action = std::move(action)] { *chosen = action; });
}

namespace {

// Several processes that were started together train together; rank 0 speaks for them.
void join_ranks(const CLI::App& command) {
  if (launched_processes() == 0) return;
  Collective& ranks = collective();
  if (ranks.size() == 1) return;
  constexpr std::array together{"lamina train", "lamina pretrain", "lamina study", "lamina bench parallel"};
  if (std::find(together.begin(), together.end(), full_name(command)) == together.end())
    fail_usage(
        "{}: {} processes were started together, but this command is for one; start it without mpirun or "
        "srun",
        full_name(command), ranks.size());
  const std::vector<std::string> all = ranks.gather(full_name(command));
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all.front())
      fail_usage("rank {} was started as {}, rank 0 as {}; start all ranks alike", rank, all[rank],
                 all.front());
  set_threads(cores_of_rank(ranks));
  if (ranks.rank() == 0) return;
  silence_notes();
  if (std::freopen("/dev/null", "w", stdout) == nullptr) fail("/dev/null cannot be opened");
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App program("Lamina: train ResNets with LARS, LAMB, TVLARS, SGD and AdamW.", "lamina");
  program.footer(
      "lamina COMMAND --help lists a command's options with their defaults.\n"
      "Exit status: 0 done, 1 failed while running, 2 wrong usage, 128 + N stopped by signal N, all saved.");
  program.set_version_flag("--version", version());
  std::function<int()> chosen;
  const Command commands(program, chosen);
  add_train_command(commands);
  add_pretrain_command(commands);
  add_eval_command(commands);
  add_predict_command(commands);
  add_replay_command(commands);
  add_report_command(commands);
  add_study_command(commands);
  add_features_command(commands);
  add_knn_command(commands);
  add_linear_command(commands);
  add_sharpness_command(commands);
  add_landscape_command(commands);
  add_find_lr_command(commands);
  add_augment_command(commands);
  add_info_command(commands);
  add_bench_command(commands);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    print_note(stderr, "{}", program.help());
    return 2;
  }
  arguments = insert_config_files(std::move(arguments));
  std::reverse(arguments.begin(), arguments.end());  // the order CLI11 takes them in
  try {
    program.parse(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return print_asked_for(program, error);
    fail_parse(program, error);
  }
  if (!chosen) {
    const CLI::App& group = chosen_command(program);
    fail_usage("{}: say which: {}", full_name(group), fmt::join(commands_below(group), ", "));
  }
  set_offered_options(options_of_command(chosen_command(program)));
  join_ranks(chosen_command(program));
  instruction_set();  // a wrong LAMINA_CPU is told before anything is done
  return chosen();
}

}  // namespace lamina::app
