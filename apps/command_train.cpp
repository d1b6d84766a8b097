#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/training_command.h"

namespace lamina::app {

void add_train_command(const Command& program) {
  const Command train = program.add("train", "Train a model; writes a run directory");
  auto command = std::make_shared<TrainingCommand>();
  add_options(train, *command);
  train.runs([train, command] {
    command->given = given_options(train);
    return run_training(*command);
  });
}

}  // namespace lamina::app
