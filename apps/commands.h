// The subcommands. Each adds its options to the parser and, when chosen, sets `action` to what it does; that
// returns the exit status.
#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace lamina {

using Action = std::function<int()>;

void add_train_command(CLI::App& program, Action& action);
void add_eval_command(CLI::App& program, Action& action);
void add_predict_command(CLI::App& program, Action& action);
void add_info_command(CLI::App& program, Action& action);
void add_bench_command(CLI::App& program, Action& action);

// Parses and runs. Throws UsageError for a wrong command line and Error for what fails while running.
int run_command(int argc, char** argv);

}  // namespace lamina
