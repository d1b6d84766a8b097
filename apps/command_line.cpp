#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>

#include "apps/commands.h"
#include "apps/config_file.h"
#include "apps/version.h"
#include "core/error.h"

namespace lamina {
namespace {

// Levenshtein's edit distance.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  return *std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return distance(word, a) < distance(word, b);
  });
}

std::vector<std::string> names_of(const std::vector<CLI::App*>& commands) {
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

[[noreturn]] void fail_unknown_option(const CLI::App& command, const std::string& word) {
  std::vector<std::string> options;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  if (!word.starts_with('-')) {
    fail_usage("unexpected argument \"{}\"; lamina {} --help shows the usage", word, command.get_name());
  }
  const std::string flag = word.substr(0, word.find('='));
  fail_usage("unknown option {}; did you mean {}? lamina {} --help lists all", flag, nearest(flag, options),
             command.get_name());
}

// What CLI11 found wrong, in our words where its own are unclear.
[[noreturn]] void fail_parse(const CLI::App& program, const CLI::ParseError& error) {
  const auto commands = program.get_subcommands();
  if (commands.empty()) fail_usage("{}; lamina --help shows the usage", error.what());
  const CLI::App& command = *commands.front();
  const std::vector<std::string> extras = command.remaining();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    fail_unknown_option(command, extras.front());
  }
  fail_usage("{}; lamina {} --help shows the usage", error.what(), command.get_name());
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App program("Lamina: train ResNets with LARS, LAMB, TVLARS, SGD and AdamW.", "lamina");
  program.set_version_flag("--version", version());
  program.require_subcommand(1);
  Action action;
  add_train_command(program, action);
  add_eval_command(program, action);
  add_predict_command(program, action);
  add_info_command(program, action);
  add_bench_command(program, action);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    fmt::print(stderr, "{}", program.help());
    return 2;
  }
  const std::vector<std::string> commands = names_of(program.get_subcommands({}));
  if (!arguments[0].starts_with('-') &&
      std::find(commands.begin(), commands.end(), arguments[0]) == commands.end()) {
    fail_usage("unknown command \"{}\"; expected {}", arguments[0], fmt::join(commands, ", "));
  }
  arguments = insert_config_file(std::move(arguments));
  std::reverse(arguments.begin(), arguments.end());  // the order CLI11 takes them in
  try {
    program.parse(arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    fail_parse(program, error);
  }
  return action();
}

}  // namespace lamina
