#include "apps/train_run.h"

#include "apps/memory_advice.h"
#include "apps/training.h"

namespace lamina {
namespace {

OutOfMemory explain(const OutOfMemory& error, const TrainOptions& options, TrainingSetup& setup) {
  const bool split = options.micro_batch > 0;
  return explain(error, {.device = setup.device,
                         .request = split ? fmt::format("--micro-batch {}", options.micro_batch)
                                          : fmt::format("--batch {}", options.batch),
                         .option = "--micro-batch",
                         .images = split ? options.micro_batch : options.batch,
                         .batch = options.batch,
                         .run = [&](std::int64_t images) {
                           const BlankPart blank(setup.loader, setup.device, images);
                           Tensor sums = Tensor::zeros({2}, {.device = setup.device});
                           accumulate_gradients(setup.net, blank.part, options.label_smoothing, sums);
                         }});
}

// In the first step it is the options that ask for too much; later, another program took what there was.
int train(Training& training, const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run,
          bool resume) {
  const std::int64_t first = training.position().step;
  try {
    return training.run();
  } catch (const OutOfMemory& error) {
    if (training.position().step > first) throw;
    const OutOfMemory explained = explain(error, options, setup);
    if (!resume) run.remove_unstarted();
    throw explained;
  }
}

}  // namespace

void make_data_absolute(std::string& data) {
  const std::size_t colon = data.find(':');
  if (colon != std::string::npos && colon + 1 < data.size() && data.substr(0, colon) != "synthetic") {
    const std::filesystem::path folder = data.substr(colon + 1);
    data = data.substr(0, colon + 1) + std::filesystem::absolute(folder).lexically_normal().string();
  }
}

RunOutcome train_run(const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run, bool resume,
                     Progress& progress) {
  const nlohmann::json config = make_config(options, setup);
  run.write_config(config);
  Training training(options, setup, run, progress, config);
  run.remove_half_written();
  if (resume) {
    const auto checkpoint = read_newest_checkpoint(run);
    if (checkpoint) training.resume(*checkpoint);
    progress.print(checkpoint ? fmt::format("resuming from {}", checkpoint->path.string())
                              : "resuming: no checkpoint yet, so from the start");
  }
  const int signal = train(training, options, setup, run, resume);
  progress.clear();
  return {signal, training.position()};
}

}  // namespace lamina
