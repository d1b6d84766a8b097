#include "apps/training_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "analysis/recipe_curvature.h"
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
#include "core/parallel/collective.h"
#include "train/recipe_run.h"
#include "train/without_effect.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;
using train::Recipe;
using train::RunDirectory;

fs::path default_directory(const Recipe& recipe) {
  std::string name = fmt::format("{}{}-{}-{}-b{}-s{}", recipe.method ? *recipe.method + "-" : "",
                                 recipe.data.substr(0, recipe.data.find(':')), recipe.model, recipe.optimizer,
                                 recipe.batch, recipe.seed);
  std::replace(name.begin(), name.end(), ':', '-');
  return fs::path("runs") / name;
}

ProgressMode progress_mode(const TrainingCommand& command) {
  const ProgressMode mode = parse_progress(command.progress);
  if (!command.watch) return mode;
  if (mode != ProgressMode::automatic) {
    fail_usage("--watch and --progress {}: give one of them", command.progress);
  }
  return ProgressMode::watch;
}

fs::path output_directory(const TrainingCommand& command) {
  if (!command.out.empty()) return command.out;
  if (command.recipe.data.empty() && command.resume) fail_usage("--resume: say which run with --out DIR");
  return default_directory(command.recipe);
}

std::string loss_of(const Metrics& m) { return m.samples > 0 ? decimals(m.loss(), 4) : "-"; }

std::vector<std::string> result_row(const std::string& name, const EpochResult& result, bool validated) {
  const auto accuracy = [](const Metrics& m) {
    return m.samples > 0 && !m.sums.empty() ? decimals(100 * m.mean(0), 2) + " %" : "-";
  };
  std::vector<std::string> row{name, std::to_string(result.epoch), loss_of(result.train),
                               accuracy(result.train)};
  if (validated) row.insert(row.end(), {loss_of(result.valid), accuracy(result.valid)});
  row.insert(row.end(), {loss_of(result.test), accuracy(result.test)});
  return row;
}

Table supervised_results(const TrainingPosition& position, bool validated) {
  std::vector<std::string> header{"", "epoch", "train loss", "train acc"};
  if (validated) header.insert(header.end(), {"valid loss", "valid acc"});
  header.insert(header.end(), {"test loss", "test acc"});
  Table table(header);
  if (position.best.epoch > 0) table.add(result_row("best", position.best, validated));
  table.add(result_row("last", position.last, validated));
  return table;
}

// The loss and what it is made of, and how the nearest neighbours classify.
Table pretraining_results(const EpochResult& last, const Objective& objective,
                          const std::vector<ShownNumber>& measured) {
  std::vector<std::string> header{"", "epoch", "loss"},
      row{"last", std::to_string(last.epoch), loss_of(last.train)};
  const std::vector<MetricInfo> metrics = objective.metrics();
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    header.push_back(metrics[i].name);
    row.push_back(decimals(last.train.mean(i), 4));
  }
  for (const ShownNumber& number : measured) {
    header.push_back(number.name);
    row.push_back(number.value);
  }
  Table table(header);
  table.add(row);
  return table;
}

std::string result_text(const TrainingPosition& position, const train::Setup& setup, const fs::path& run,
                        const std::vector<ShownNumber>& measured) {
  const Table table = setup.recipe.pretraining
                          ? pretraining_results(position.last, *setup.objective, measured)
                          : supervised_results(position, setup.valid.size() > 0);
  const double images = static_cast<double>(setup.loader.samples() * position.epoch);
  return fmt::format(
      "\n{}\ntrained for {}: {:.0f} images/s\nwrote {}/\n      weights.safetensors  config.json  steps.csv  "
      "epochs.csv  checkpoint-{}.safetensors{}{}{}{}\n",
      table.str(), format_duration(position.seconds), images / position.seconds, run.string(), position.step,
      is_there(run / "evaluation.json") ? "  evaluation.json" : "",
      is_there(run / "trace.safetensors") ? "  trace.safetensors" : "",
      is_there(run / "curvature.csv") ? "  curvature.csv" : "",
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
std::string command_to_go_on(const Recipe& recipe, const fs::path& run,
                             std::optional<std::int64_t> more_epochs) {
  return fmt::format("{} --resume --out {}{}", command_name(recipe), quoted(run.string()),
                     more_epochs ? fmt::format(" --epochs {}", *more_epochs) : "");
}

// Another rank than the first: without a directory, and silent.
int train_along(train::Setup setup) {
  const std::string command = command_line(setup.recipe.recipe);
  train::RecipeRun run(std::move(setup), {}, command, &collective());
  const TrainingOutcome outcome = run.trainer().run();
  return outcome.finished ? 0 : 128 + outcome.signal;
}

int train_in(train::Setup setup, RunDirectory directory, const TrainingCommand& command,
             std::optional<std::int64_t> more_epochs = {}) {
  const ProgressMode mode = progress_mode(command);
  const fs::path path = directory.path();
  print_note(stdout, "{:<10} {}\n{}\n", "run", path.string(), describe(setup, collective().size()));
  for (const std::string& text : notes_on(setup, collective().size())) note("{}", text);
  Progress progress(mode);
  if (mode == ProgressMode::watch && !progress.watching()) {
    progress.print("--watch: standard error is not a terminal; plain lines instead");
  }
  const Device device = setup.device;
  if (command.verbose) progress.set_remark([device] { return describe_step(device); });
  const Recipe recipe = setup.recipe.recipe;
  train::RecipeRun run(std::move(setup), std::move(directory), command_line(recipe), &collective());
  TrainingScreen screen(progress, recipe.eval_every);
  const std::unique_ptr<Observer> curvature = analysis::curvature_of(run.setup());
  if (curvature) run.trainer().observe(*curvature);
  const TrainingOutcome outcome = run.trainer().observe(screen).run();
  progress.clear();
  if (outcome.finished) {
    print_note(stdout, "{}", result_text(outcome.position, run.setup(), path, screen.measured()));
    if (command.verbose) print_note(stdout, "{}\n", describe_memory(device));
    return 0;
  }
  if (!RunDirectory::holds_run(path)) {
    print_note(stderr, "stopped before the first step; nothing is left of the run\n");
    return 128 + outcome.signal;
  }
  // One that is stopped in its final tests is in its last epoch still.
  print_note(stderr, "stopped in epoch {} after step {}; everything is saved. To go on:\n  {}\n",
             std::min(outcome.position.epoch + 1, recipe.epochs), outcome.position.step,
             command_to_go_on(recipe, path, more_epochs));
  return 128 + outcome.signal;
}

// `kind`: which command is to go on with it.
Recipe recipe_of_run(const RunDirectory& run, const Recipe& kind) {
  const std::string source = run.file("config.json").string();
  const nlohmann::json config = run.read_config();
  check(config.contains("options"), "{}: no \"options\": not the configuration of a run", source);
  check(!config["options"].contains("objective"),
        "{}: a run of a program of its own, not of lamina train; run that program again to go on with it",
        source);
  Recipe recipe = train::recipe_from_json(config["options"], source);
  if (recipe.method.has_value() != kind.method.has_value())
    fail_usage("{}: a run of {}; go on with it by that command", source, command_name(recipe));
  return recipe;
}

void check_parts(const Recipe& recipe) {
  const std::optional<SamOptions> sam = train::sam_options(recipe);
  const bool by_sam = perturbs(sam) && sam->m > 0;
  train::check_parts(recipe, {.batch = recipe.batch,
                              .micro_batch = by_sam ? sam->m : recipe.micro_batch,
                              .share = {.index = collective().rank(), .of = collective().size()}});
}

}  // namespace

int run_training(TrainingCommand command) {
  progress_mode(command);  // refused before anything is made
  train::make_paths_absolute(command.recipe);
  const fs::path out = output_directory(command);
  const bool leads = collective().rank() == 0;
  // Without data there is nothing that a new run could be made of: it must be there.
  if (command.resume && (command.recipe.data.empty() || RunDirectory::holds_run(out))) {
    RunDirectory run = RunDirectory::open(out);
    if (leads) run.lock();
    const Recipe saved = recipe_of_run(run, command.recipe);
    const Recipe recipe =
        train::resumed_recipe(saved, command.recipe, command.given, "--resume " + out.string());
    train::Setup setup = make_setup(train::resolve(recipe, run), &collective());
    if (!leads) return train_along(std::move(setup));
    return train_in(std::move(setup), std::move(run), command,
                    recipe.epochs > saved.epochs ? std::optional(recipe.epochs) : std::nullopt);
  }
  const train::ResolvedRecipe recipe = train::resolve(command.recipe);
  check_effects(recipe, command.given);
  check_parts(recipe.recipe);  // before the data are read
  if (leads) RunDirectory::check_free(out);
  train::Setup setup = make_setup(recipe, &collective());
  if (!leads) return train_along(std::move(setup));
  RunDirectory run = RunDirectory::create(out);
  run.lock();
  return train_in(std::move(setup), std::move(run), command);
}

void add_options(const Command& parser, TrainingCommand& command) {
  add_options(parser, command.recipe);
  parser.option("--out", command.out,
                command.recipe.method
                    ? "run directory; default: runs/METHOD-DATA-MODEL-OPTIMIZER-bBATCH-sSEED"
                    : "run directory; default: runs/DATA-MODEL-OPTIMIZER-bBATCH-sSEED",
                "DIR");
  parser.option("--resume", command.resume,
                "go on with the run in --out from its newest checkpoint; with more --epochs it becomes a "
                "longer one, if its schedule allows that");
  parser.option("--progress", command.progress, "auto, plain or none");
  parser.option(
      "--watch", command.watch,
      "draw every layer's trust ratio and norms while training; plain lines where standard error is "
      "not a terminal; does not change results");
  parser.option("--verbose", command.verbose,
                "say where memory goes, and how a GPU computes each convolution");
  parser.option("--config", command.config,
                "read options from a file, or from a run's config.json; the command line wins", "FILE");
}

}  // namespace lamina::app
