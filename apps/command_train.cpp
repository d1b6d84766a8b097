#include <algorithm>
#include <filesystem>
#include <memory>

#include "apps/commands.h"
#include "apps/table.h"
#include "apps/train_run.h"
#include "core/allocator.h"
#include "core/available_memory.h"
#include "core/backend.h"
#include "core/error.h"

namespace lamina {
namespace {

namespace fs = std::filesystem;

struct TrainCommand {
  TrainOptions options;
  std::set<std::string> given;
  std::string out, config;  // config: already read, see config_file.h
  bool resume = false, watch = false, verbose = false;
  std::string progress = "auto";
};

fs::path default_directory(const TrainOptions& options) {
  std::string name = fmt::format("{}-{}-{}-b{}-s{}", options.data.substr(0, options.data.find(':')),
                                 options.model, options.optimizer, options.batch, options.seed);
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
  if (command.options.data.empty() && command.resume) fail_usage("--resume: say which run with --out DIR");
  return default_directory(command.options);
}

std::vector<std::string> result_row(const std::string& name, const EpochResult& result) {
  const auto percent = [](double share) { return fmt::format("{:.2f} %", 100 * share); };
  const auto loss = [](const Metrics& m) { return m.samples > 0 ? fmt::format("{:.4f}", m.loss()) : "-"; };
  return {name,
          std::to_string(result.epoch),
          loss(result.train),
          percent(result.train.accuracy()),
          loss(result.test),
          result.test.samples > 0 ? percent(result.test.accuracy()) : "-"};
}

std::string result_table(const Position& position, const TrainingSetup& setup, const RunDirectory& run) {
  Table table({"", "epoch", "train loss", "train acc", "test loss", "test acc"});
  if (position.best.epoch > 0) table.add(result_row("best", position.best));
  table.add(result_row("last", position.last));
  const double images = static_cast<double>(setup.loader.samples() * position.epoch);
  return fmt::format(
      "\n{}\ntrained for {}: {:.0f} images/s\nwrote {}/\n      weights.safetensors  config.json  steps.csv  "
      "epochs.csv  checkpoint-{}.safetensors{}\n",
      table.str(), format_duration(position.seconds), images / position.seconds, run.path().string(),
      position.step, fs::exists(run.file("trace.safetensors")) ? "  trace.safetensors" : "");
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

int train_in(const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run, bool resume,
             ProgressMode mode, bool verbose) {
  fmt::print("{:<10} {}\n{}\n", "run", run.path().string(), describe(options, setup));
  std::fflush(stdout);
  Progress progress(mode);
  if (mode == ProgressMode::watch && !progress.watching()) {
    progress.print("--watch: standard error is not a terminal; plain lines instead");
  }
  if (verbose) progress.set_remark([&] { return describe_step(setup.device); });
  const auto [signal, position] = train_run(options, setup, run, resume, progress);
  if (signal == 0) {
    fmt::print("{}", result_table(position, setup, run));
    if (verbose) fmt::print("{}\n", describe_memory(setup.device));
    return 0;
  }
  fmt::print(
      stderr,
      "stopped in epoch {} after step {}; everything is saved. To go on:\n  lamina train --resume --out {}\n",
      position.epoch + 1, position.step, run.path().string());
  return 128 + signal;
}

int run_train(TrainCommand command) {
  const ProgressMode progress = progress_mode(command);
  make_data_absolute(command.options.data);
  const fs::path out = output_directory(command);
  if (command.resume && RunDirectory::holds_run(out)) {
    RunDirectory run = RunDirectory::open(out);
    run.lock();
    const std::string source = run.file("config.json").string();
    const nlohmann::json config = run.read_config();
    check(config.contains("options"), "{}: no \"options\": not the configuration of a run", source);
    const TrainOptions saved = train_options_from_json(config["options"], source);
    const TrainOptions options = resume_options(saved, command.options, command.given, out.string());
    check_options(options);
    TrainingSetup setup = make_training_setup(options);
    return train_in(options, setup, run, true, progress, command.verbose);
  }
  check_options(command.options);
  RunDirectory::check_free(out);
  TrainingSetup setup = make_training_setup(command.options);
  RunDirectory run = RunDirectory::create(out);
  run.lock();
  return train_in(command.options, setup, run, false, progress, command.verbose);
}

}  // namespace

void add_train_command(const Command& program) {
  const Command train = program.add("train", "Train a model; writes a run directory");
  auto command = std::make_shared<TrainCommand>();
  add_options(train, command->options);
  train.option("--out", command->out, "run directory; default: runs/DATA-MODEL-OPTIMIZER-bBATCH-sSEED",
               "DIR");
  train.option("--resume", command->resume, "go on with the run in --out from its newest checkpoint");
  train.option("--progress", command->progress, "auto, plain or none");
  train.option("--watch", command->watch,
               "draw every layer's trust ratio and norms while training; plain lines where standard error is "
               "not a terminal; does not change results");
  train.option("--verbose", command->verbose,
               "say where memory goes, and how a GPU computes each convolution");
  train.option("--config", command->config, "read options from a file; the command line wins", "FILE.toml");
  train.runs([train, command] {
    command->given = given_options(train);
    return run_train(*command);
  });
}

}  // namespace lamina
