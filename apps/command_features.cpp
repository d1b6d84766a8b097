// `lamina features`: what a frozen backbone makes of every image, as a file.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/feature_command.h"
#include "apps/output.h"
#include "core/base/error.h"
#include "core/files/safetensors.h"

namespace lamina::app {
namespace {

struct FeaturesCommand : FeatureCommand {
  std::string out;
};

int run_features(const FeaturesCommand& command) {
  if (command.out.empty()) fail_usage("features: --out FILE.safetensors is missing: where to write them");
  train::FeatureSource source = open_source(command);
  const train::SplitFeatures features = features_of(command, source);
  TensorFile file;
  for (const auto& [name, split] : {std::pair("train", &features.train), std::pair("test", &features.test)}) {
    check_features(*split, fmt::format("features: those of the {} images", name));
    file.tensors.emplace_back(fmt::format("{}.features", name), split->values);
    file.tensors.emplace_back(fmt::format("{}.labels", name), Tensor::from(split->labels, {split->size()}));
  }
  nlohmann::json described = describe(command, source);
  described["classes"] = source.data.classes;
  for (const auto& [key, value] : described.items())
    file.metadata[key] = value.is_string() ? value.get<std::string>() : value.dump();
  write_tensors(command.out, file);
  print_result("{}:\n{} training and {} test images, {} features each: {}\n", title(command, source),
               features.train.size(), features.test.size(), features.train.width(), command.out);
  return 0;
}

}  // namespace

void add_features_command(const Command& program) {
  const Command features =
      program.add("features", "Writes what a frozen backbone makes of training and test images");
  auto command = std::make_shared<FeaturesCommand>();
  command->name = "features";
  add_options(features, *command);
  features.option("--out", command->out,
                  "FILE.safetensors: train.features [N,D], train.labels, test.features, test.labels");
  features.runs([command, features] {
    check_seed(features, *command);
    return run_features(*command);
  });
}

}  // namespace lamina::app
