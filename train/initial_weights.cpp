#include "train/initial_weights.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/list_names.h"
#include "data/identity.h"
#include "layers/foreign_weights.h"
#include "train/checkpoint.h"
#include "train/load_model.h"

namespace lamina::train {
namespace {

std::string describe_numbers(const std::vector<float>& numbers) {
  return fmt::format("{:.3f}", fmt::join(numbers, " "));
}

}  // namespace

InitialWeights load_initial_weights(const std::filesystem::path& run_or_file, Module& module) {
  const FoundWeights found = find_weights(run_or_file);
  const TensorFile weights = weights_of(found.file);
  InitialWeights initial{.file = found.path,
                         .weights = load_matching_weights(weights, module.state(), found.path.string())};
  check_finite(weights, found.path.string());
  return initial;
}

std::string describe(const InitialWeights& initial, const WeightInfo& images, const std::string& indent) {
  const MatchedWeights& weights = initial.weights;
  const std::size_t wanted = weights.taken.size() + weights.missing.size() + weights.other_shape.size();
  std::string text = fmt::format("of {} ({})\n{}taken: {} of the model's {} tensors", initial.file.string(),
                                 weights.model.str(), indent, weights.taken.size(), wanted);
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) text += fmt::format("\n{}{}: {}", indent, what, list_names_of_all(names, 6));
  };
  add("not in the file, so initialised", weights.missing);
  add("of another shape in the file, so initialised", weights.other_shape);
  add("in the file only", weights.unexpected);
  for (const std::string& note : weights.notes) text += fmt::format("\n{}note: {}", indent, note);
  const WeightInfo& info = weights.info;
  const bool known = !info.mean.empty() && !info.std.empty();
  if (known &&
      (data::statistics_differ(info.mean, images.mean) || data::statistics_differ(info.std, images.std))) {
    text += fmt::format(
        "\n{0}note: its images were normalised with mean {1} and deviation {2}, these with mean {3} and "
        "deviation {4}",
        indent, describe_numbers(info.mean), describe_numbers(info.std), describe_numbers(images.mean),
        describe_numbers(images.std));
  }
  const bool takes_head =
      std::find(weights.taken.begin(), weights.taken.end(), "fc.weight") != weights.taken.end();
  if (takes_head && !info.classes.empty() && !images.classes.empty() && info.classes != images.classes) {
    text += fmt::format(
        "\n{0}note: its last layer, which is taken over, tells {1} apart; the same outputs are {2} here",
        indent, list_names(info.classes), list_names(images.classes));
  }
  return text;
}

nlohmann::json to_json(const InitialWeights& initial) {
  const MatchedWeights& weights = initial.weights;
  return {{"file", initial.file.string()},     {"file_bytes", std::filesystem::file_size(initial.file)},
          {"file_model", weights.model.str()}, {"taken", weights.taken},
          {"missing", weights.missing},        {"other_shape", weights.other_shape},
          {"unexpected", weights.unexpected}};
}

}  // namespace lamina::train
