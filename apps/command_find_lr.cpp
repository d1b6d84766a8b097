#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/base/error.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "train/find_lr.h"
#include "train/setup.h"
#include "train/without_effect.h"

namespace lamina::app {
namespace {

struct FindLrCommand {
  train::Recipe recipe;
  std::set<std::string> given;
  FindLrOptions search;
  std::string config;  // already read, see config_file.h
  bool json = false;
};

// At most some 30 rows of them, the last one among them.
std::string trial_table(const LrRange& range, double scale) {
  Table table({"step", "lr", "loss", "smoothed"});
  const std::size_t count = range.trials.size(), every = (count + 29) / 30;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % every != 0 && i + 1 != count) continue;
    const LrTrial& trial = range.trials[i];
    table.add({std::to_string(i + 1), fmt::format("{:.3g}", trial.lr / scale),
               fmt::format("{:.4f}", trial.loss), fmt::format("{:.4f}", trial.smoothed)});
  }
  return table.str();
}

// What stands in the way of believing the suggestion; empty: nothing.
std::string caution(const LrRange& range) {
  if (range.lowest_at == range.trials.front().lr) return "the loss never fell: give a smaller --from";
  if (!range.diverged_at && range.lowest_at == range.trials.back().lr)
    return "the loss fell to the end: give a larger --to";
  return "";
}

nlohmann::json to_json(const LrRange& range, double scale) {
  nlohmann::json trials = nlohmann::json::array();
  for (const LrTrial& trial : range.trials)
    trials.push_back({{"lr", trial.lr / scale}, {"loss", trial.loss}, {"smoothed", trial.smoothed}});
  return {{"trials", trials},
          {"lowest_at", range.lowest_at / scale},
          {"diverged_at", range.diverged_at ? nlohmann::json(*range.diverged_at / scale) : nlohmann::json()},
          {"suggestion", range.suggestion / scale},
          {"caution", caution(range)}};
}

// Learning rates are those of --lr: before they are scaled with the batch.
int run_find_lr(FindLrCommand command) {
  if (command.recipe.data.empty()) fail_usage("find-lr: --data NAME[:DIR] is missing: what to train on");
  const train::ResolvedRecipe recipe = train::resolve(command.recipe);
  check_effects(recipe, command.given);
  train::Setup setup = make_setup(recipe);
  const double lr = setup.schedule.options().lr.value_or(0);
  const double scale = lr > 0 ? setup.schedule.peak() / lr : 1;
  command.search.from *= scale;
  command.search.to *= scale;
  command.search.capture = !command.recipe.eager;
  command.search.sharpness_aware = sam_options(command.recipe);
  for (const std::string& text : notes_on(setup)) note("{}", text);
  if (!command.json) print_note(stdout, "{}\n", describe(setup));
  const LrRange range = find_lr(*setup.objective, *setup.optimizer, setup.loader, command.search);
  if (command.json) {
    print_result_json(to_json(range, scale), 2);
    return 0;
  }
  print_result("{}\nlowest smoothed loss at lr {:.3g}\n", trial_table(range, scale), range.lowest_at / scale);
  if (range.diverged_at) print_result("diverged at lr {:.3g}\n", *range.diverged_at / scale);
  print_result("suggestion: --lr {:.2g}, a tenth of where the loss was lowest\n", range.suggestion / scale);
  if (const std::string but = caution(range); !but.empty()) print_result("but {}\n", but);
  return 0;
}

}  // namespace

void add_find_lr_command(const Command& program) {
  const Command find = program.add("find-lr", "Learning-rate range test: where the loss falls and explodes");
  auto command = std::make_shared<FindLrCommand>();
  add_options(find, command->recipe);
  find.option("--from", command->search.from, "lr of the first step; 0: a thousandth of the recipe's",
              at_least(0), "LR");
  find.option("--to", command->search.to, "lr of the last one; 0: a thousand times the recipe's", at_least(0),
              "LR");
  find.option("--steps", command->search.steps, "from the one to the other; the lr grows exponentially",
              between(2, 1e9));
  find.option("--smoothing", command->search.smoothing,
              "of the loss: share of the running mean kept in a step", share_below_1());
  find.option("--json", command->json, "one JSON object on standard output, nothing else");
  find.option("--config", command->config,
              "read options from a file, or from a run's config.json; the command line wins", "FILE");
  find.runs([find, command] {
    command->given = given_options(find);
    return run_find_lr(*command);
  });
}

}  // namespace lamina::app
