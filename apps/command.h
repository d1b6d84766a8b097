// A command of the program, and what it takes. Behind it is CLI11, which command.cpp alone includes: it is
// slow to compile.
#pragma once

#include <functional>
#include <string>

#include "core/base/number.h"

namespace CLI {
class App;
}

namespace lamina::app {

class Command {
 public:
  Command(CLI::App& parser, std::function<int()>& chosen) : parser_(&parser), chosen_(&chosen) {}

  // A command below this one, which then only groups commands.
  Command add(const std::string& name, const std::string& help) const;

  // A required argument by position. T: std::string, or std::vector<std::string> for one or more.
  template <typename T>
  void argument(const std::string& name, T& value, const std::string& help) const;

  // "--name VALUE"; `value` keeps what it holds if the option is not given, and the help shows that as the
  // default unless it is empty. T: bool (takes no VALUE; if it is true there is also --no-NAME), int,
  // std::int64_t, std::uint64_t, double, std::string, std::optional of these but std::uint64_t,
  // std::vector<std::string> (give it once for each), std::vector of int, float or double (VALUE,VALUE,…,
  // given once). Of a single value given twice the last one counts. `value_name`: what the help calls VALUE;
  // nullptr: its type.
  template <typename T>
  void option(const std::string& flag, T& value, const std::string& help,
              const char* value_name = nullptr) const;
  // A number, or numbers, that must lie in the range; elsewhere any finite one will do.
  template <typename T>
  void option(const std::string& flag, T& value, const std::string& help, const NumberRange& range,
              const char* value_name = nullptr) const;
  bool given(const std::string& flag) const;  // false of one that it does not have

  // What to do if this command is chosen; returns the exit status.
  void runs(std::function<int()> action) const;

 private:
  CLI::App* parser_;
  std::function<int()>* chosen_;
};

// Parses the command line and runs what it says. Throws UsageError for a wrong one and Error for what fails
// while running.
int run_command(int argc, char** argv);

}  // namespace lamina::app
