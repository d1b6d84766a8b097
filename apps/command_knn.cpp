// `lamina knn`: test images classified by the training images that are nearest to them.
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/feature_command.h"
#include "apps/output.h"
#include "core/base/note.h"
#include "train/knn.h"

namespace lamina::app {
namespace {

struct KnnCommand : FeatureCommand {
  KnnOptions options;
};

int run_knn(const KnnCommand& command) {
  train::FeatureSource source = open_source(command);
  const train::SplitFeatures features = features_of(command, source);
  const KnnResult result = knn(features.train, features.test, command.options);
  if (result.k < command.options.k)
    note("--k {}: the bank has {} images, and so many are asked", command.options.k, result.k);
  if (command.json) {
    nlohmann::json json = describe(command, source);
    json.update(train::to_json(result, features));
    print_result_json(json);
  } else {
    print_result(
        "{}:\naccuracy {:.2f} % of {} test images; k {}, temperature {}, cosine, {} features of {} "
        "training images, test view\n",
        title(command, source), 100 * result.accuracy, result.samples, result.k, result.temperature,
        features.train.width(), features.train.size());
  }
  return 0;
}

}  // namespace

void add_knn_command(const Command& program) {
  const Command knn =
      program.add("knn", "Accuracy of weighted nearest neighbours on the features of a frozen backbone");
  auto command = std::make_shared<KnnCommand>();
  command->name = "knn";
  add_options(knn, *command);
  knn.option("--k", command->options.k, "neighbours that are asked; of fewer training images all",
             between(1, 1e9));
  knn.option("--temperature", command->options.temperature, "a neighbour weighs exp(cosine / temperature)",
             NumberRange{.least = 0, .most = 1e9, .least_excluded = true});
  knn.option("--json", command->json, "one JSON object on standard output, nothing else");
  knn.runs([command, knn] {
    check_seed(knn, *command);
    return run_knn(*command);
  });
}

}  // namespace lamina::app
