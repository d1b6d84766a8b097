// Run directories made up for tests, as `lamina train` writes them.
#pragma once

#include <fmt/core.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "program.h"
#include "train/recipe.h"

namespace lamina::tests {

inline train::Recipe tiny_options() {
  train::Recipe options;
  options.data = "cifar10";
  options.model = "resnet8";
  options.epochs = 2;
  return options;
}

struct EpochLine {
  double train_loss, test_accuracy;  // accuracy NaN: not tested
};

// Every epoch takes 10 s and two steps.
inline void write_run(const fs::path& path, const train::Recipe& options,
                      const std::vector<EpochLine>& lines) {
  fs::create_directories(path);
  const nlohmann::json config{
      {"command", "lamina train --data cifar10 --optimizer " + options.optimizer},
      {"options", to_json(options)},
      {"resolved", {{"stem", "cifar"}, {"train_images", 100}, {"knobs", {{"weight_decay", "0.0005"}}}}}};
  std::ofstream(path / "config.json") << config.dump(2) << "\n";
  std::ofstream epochs(path / "epochs.csv"), steps(path / "steps.csv");
  epochs << "epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds,images_per_s\n";
  steps << "step,epoch,lr,phi,loss,accuracy,seconds,images_per_s\n";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto [loss, accuracy] = lines[i];
    epochs << fmt::format("{},{},0.5,{},10,100\n", i + 1, loss,
                          std::isnan(accuracy) ? "," : fmt::format("1.5,{}", accuracy));
    for (std::size_t step = 2 * i + 1; step <= 2 * i + 2; ++step) {
      steps << fmt::format("{},{},{},{},{},0.5,5,100\n", step, i + 1, 0.1 * static_cast<double>(step),
                           1 / static_cast<double>(step), loss);
    }
  }
}

}  // namespace lamina::tests
