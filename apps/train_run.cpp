#include "apps/train_run.h"

#include "apps/training.h"

namespace lamina {

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
  const int signal = training.run();
  progress.clear();
  return {signal, training.position()};
}

}  // namespace lamina
