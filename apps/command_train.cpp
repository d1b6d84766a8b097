#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/training_screen.h"
#include "core/backend.h"
#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "core/memory/allocator.h"
#include "train/recipe_run.h"
#include "train/without_effect.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;
using train::Recipe;
using train::RunDirectory;

struct TrainCommand {
  Recipe recipe;
  std::set<std::string> given;
  std::string out, config;  // config: already read, see config_file.h
  bool resume = false, watch = false, verbose = false;
  std::string progress = "auto";
};

fs::path default_directory(const Recipe& recipe) {
  std::string name = fmt::format("{}-{}-{}-b{}-s{}", recipe.data.substr(0, recipe.data.find(':')),
                                 recipe.model, recipe.optimizer, recipe.batch, recipe.seed);
  std::replace(name.begin(), name.end(), ':', '-');
  return fs::path("runs") / name;
}

ProgressMode progress_mode(const TrainCommand& command) {
  const ProgressMode mode = parse_progress(command.progress);
  if (!command.watch) return mode;
  if (mode != ProgressMode::automatic) {
    fail_usage("--watch and --progress {}: give one of them", command.progress);
  }
  return ProgressMode::watch;
}

fs::path output_directory(const TrainCommand& command) {
  if (!command.out.empty()) return command.out;
  if (command.recipe.data.empty() && command.resume) fail_usage("--resume: say which run with --out DIR");
  return default_directory(command.recipe);
}

std::vector<std::string> result_row(const std::string& name, const EpochResult& result, bool validated) {
  const auto loss = [](const Metrics& m) { return m.samples > 0 ? decimals(m.loss(), 4) : "-"; };
  const auto accuracy = [](const Metrics& m) {
    return m.samples > 0 && !m.sums.empty() ? decimals(100 * m.mean(0), 2) + " %" : "-";
  };
  std::vector<std::string> row{name, std::to_string(result.epoch), loss(result.train),
                               accuracy(result.train)};
  if (validated) row.insert(row.end(), {loss(result.valid), accuracy(result.valid)});
  row.insert(row.end(), {loss(result.test), accuracy(result.test)});
  return row;
}

std::string result_table(const TrainingPosition& position, const train::Setup& setup, const fs::path& run) {
  const bool validated = setup.valid.size() > 0;
  std::vector<std::string> header{"", "epoch", "train loss", "train acc"};
  if (validated) header.insert(header.end(), {"valid loss", "valid acc"});
  header.insert(header.end(), {"test loss", "test acc"});
  Table table(header);
  if (position.best.epoch > 0) table.add(result_row("best", position.best, validated));
  table.add(result_row("last", position.last, validated));
  const double images = static_cast<double>(setup.loader.samples() * position.epoch);
  return fmt::format(
      "\n{}\ntrained for {}: {:.0f} images/s\nwrote {}/\n      weights.safetensors  config.json  steps.csv  "
      "epochs.csv  checkpoint-{}.safetensors{}{}{}\n",
      table.str(), format_duration(position.seconds), images / position.seconds, run.string(), position.step,
      is_there(run / "evaluation.json") ? "  evaluation.json" : "",
      is_there(run / "trace.safetensors") ? "  trace.safetensors" : "",
      is_there(run / "best.safetensors") ? "  best.safetensors" : "");
}

// What --verbose adds, once the first step has been taken and at the end: where memory went, and how a GPU
// computes each convolution.
std::string describe_memory(Device device) {
  const MemoryUse use = backend_for(device).allocator().use();
  return fmt::format("memory     {}: {} of tensors at the most, {} now; this process: {} at the most",
                     device.str(), format_bytes(static_cast<double>(use.peak_bytes)),
                     format_bytes(static_cast<double>(use.live_bytes)),
                     format_bytes(static_cast<double>(peak_resident_memory())));
}

std::string describe_step(Device device) {
  std::string text = describe_memory(device);
  if (device.type != DeviceType::cuda) return text;
  text += fmt::format("\ngpu        {}; {}", cuda_device_description(device.index), cuda_build_description());
  const std::string plans = cuda_plan_report();
  return plans.empty() ? text : text + "\nconvolutions\n" + plans;
}

// A run that is to become longer is not, for its config.json, until it is beyond its earlier end.
std::string command_to_go_on(const fs::path& run, std::optional<std::int64_t> more_epochs) {
  return fmt::format("lamina train --resume --out {}{}", quoted(run.string()),
                     more_epochs ? fmt::format(" --epochs {}", *more_epochs) : "");
}

int train_in(train::Setup setup, RunDirectory directory, const TrainCommand& command,
             std::optional<std::int64_t> more_epochs = {}) {
  const ProgressMode mode = progress_mode(command);
  const fs::path path = directory.path();
  print_note(stdout, "{:<10} {}\n{}\n", "run", path.string(), describe(setup));
  for (const std::string& text : notes_on(setup)) note("{}", text);
  Progress progress(mode);
  if (mode == ProgressMode::watch && !progress.watching()) {
    progress.print("--watch: standard error is not a terminal; plain lines instead");
  }
  const Device device = setup.device;
  if (command.verbose) progress.set_remark([device] { return describe_step(device); });
  const Recipe recipe = setup.recipe.recipe;
  train::RecipeRun run(std::move(setup), std::move(directory), command_line(recipe));
  TrainingScreen screen(progress, recipe.eval_every);
  const TrainingOutcome outcome = run.trainer().observe(screen).run();
  progress.clear();
  if (outcome.finished) {
    print_note(stdout, "{}", result_table(outcome.position, run.setup(), path));
    if (command.verbose) print_note(stdout, "{}\n", describe_memory(device));
    return 0;
  }
  if (!RunDirectory::holds_run(path)) {
    print_note(stderr, "stopped before the first step; nothing is left of the run\n");
    return 128 + outcome.signal;
  }
  print_note(stderr, "stopped in epoch {} after step {}; everything is saved. To go on:\n  {}\n",
             outcome.position.epoch + 1, outcome.position.step, command_to_go_on(path, more_epochs));
  return 128 + outcome.signal;
}

Recipe recipe_of_run(const RunDirectory& run) {
  const std::string source = run.file("config.json").string();
  const nlohmann::json config = run.read_config();
  check(config.contains("options"), "{}: no \"options\": not the configuration of a run", source);
  check(!config["options"].contains("objective"),
        "{}: a run of a program of its own, not of lamina train; run that program again to go on with it",
        source);
  return train::recipe_from_json(config["options"], source);
}

int run_train(TrainCommand command) {
  progress_mode(command);  // refused before anything is made
  train::make_paths_absolute(command.recipe);
  const fs::path out = output_directory(command);
  // Without data there is nothing that a new run could be made of: it must be there.
  if (command.resume && (command.recipe.data.empty() || RunDirectory::holds_run(out))) {
    RunDirectory run = RunDirectory::open(out);
    run.lock();
    const Recipe saved = recipe_of_run(run);
    const Recipe recipe =
        train::resumed_recipe(saved, command.recipe, command.given, "--resume " + out.string());
    train::Setup setup = make_setup(train::resolve(recipe, run));
    return train_in(std::move(setup), std::move(run), command,
                    recipe.epochs > saved.epochs ? std::optional(recipe.epochs) : std::nullopt);
  }
  const train::ResolvedRecipe recipe = train::resolve(command.recipe);
  check_effects(recipe, command.given);
  RunDirectory::check_free(out);
  train::Setup setup = make_setup(recipe);
  RunDirectory run = RunDirectory::create(out);
  run.lock();
  return train_in(std::move(setup), std::move(run), command);
}

}  // namespace

void add_train_command(const Command& program) {
  const Command train = program.add("train", "Train a model; writes a run directory");
  auto command = std::make_shared<TrainCommand>();
  add_options(train, command->recipe);
  train.option("--out", command->out, "run directory; default: runs/DATA-MODEL-OPTIMIZER-bBATCH-sSEED",
               "DIR");
  train.option("--resume", command->resume,
               "go on with the run in --out from its newest checkpoint; with more --epochs it becomes a "
               "longer one, if its schedule allows that");
  train.option("--progress", command->progress, "auto, plain or none");
  train.option("--watch", command->watch,
               "draw every layer's trust ratio and norms while training; plain lines where standard error is "
               "not a terminal; does not change results");
  train.option("--verbose", command->verbose,
               "say where memory goes, and how a GPU computes each convolution");
  train.option("--config", command->config,
               "read options from a file, or from a run's config.json; the command line wins", "FILE");
  train.runs([train, command] {
    command->given = given_options(train);
    return run_train(*command);
  });
}

}  // namespace lamina::app
