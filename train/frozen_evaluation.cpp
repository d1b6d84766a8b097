#include "train/frozen_evaluation.h"

#include <utility>

#include "train/frozen_state.h"

namespace lamina::train {
namespace {

nlohmann::json json_or_null(const std::optional<std::int64_t>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json fit_json(const LinearFit& fit, double bound) {
  nlohmann::json json{{"l2", fit.l2},
                      {"iterations", fit.iterations},
                      {"gradient", fit.gradient},
                      {"gradient_bound", bound},
                      {"converged", fit.converged}};
  if (!fit.converged) json["stopped_by"] = fit.stopped_by;
  return json;
}

}  // namespace

FeatureSource feature_source(Backbone backbone, data::Dataset data) {
  for (data::Split* split : {&data.train, &data.test}) {
    if (!backbone.info.mean.empty()) split->mean = backbone.info.mean;
    if (!backbone.info.std.empty()) split->std = backbone.info.std;
  }
  return {.backbone = std::move(backbone), .data = std::move(data)};
}

FeatureSource untrained_source(const ResolvedRecipe& recipe, const data::Dataset& data) {
  ResNetOptions net = recipe.net;
  net.head = false;
  net.projector.reset();
  net.channels = static_cast<int>(data.train.channels());
  net.device = use_device(recipe.device);
  return feature_source(random_backbone(recipe.recipe.model, net), data);
}

SplitFeatures features_of(FeatureSource& source, const FeatureOptions& options) {
  ResNet& net = source.backbone.net;
  return {.train = lamina::features_of(net, source.data.train, options),
          .test = lamina::features_of(net, source.data.test, options)};
}

nlohmann::json describe(const FeatureSource& source) {
  const Backbone& backbone = source.backbone;
  return {{"file", backbone.name},
          {"model", backbone.net.model()},
          {"data", source.data.name},
          {"view", "test"},
          {"epoch", json_or_null(backbone.epoch)},
          {"bn_batch", json_or_null(backbone.bn_batch)},
          {"method", backbone.method.empty() ? nlohmann::json() : nlohmann::json(backbone.method)},
          {"mean", source.data.train.mean},
          {"std", source.data.train.std},
          {"weights", digest_of(backbone.net.state())}};
}

nlohmann::json to_json(const KnnResult& result, const SplitFeatures& features) {
  return {{"accuracy", result.accuracy},       {"correct", result.correct},
          {"samples", result.samples},         {"k", result.k},
          {"temperature", result.temperature}, {"distance", "cosine"},
          {"bank", features.train.size()},     {"features", features.train.width()}};
}

nlohmann::json to_json(const LinearProbe& probe, const LinearProbeOptions& options) {
  nlohmann::json json = fit_json(probe.fit, options.gradient_bound);
  json.update({{"top1", probe.top1},
               {"top5", probe.top5},
               {"correct", probe.correct},
               {"samples", probe.samples},
               {"classes", probe.classes},
               {"features", probe.width},
               {"standardised", true},
               {"train_accuracy", probe.fit.accuracy},
               {"as_official", nullptr},
               {"seed", options.seed},
               {"held_out", nlohmann::json::array()}});
  for (const LinearFit& fit : probe.held_out) {
    nlohmann::json row = fit_json(fit, options.gradient_bound);
    row["accuracy"] = fit.accuracy;
    json["held_out"].push_back(row);
  }
  return json;
}

nlohmann::json to_json(const OfficialProbe& probe, const OfficialProbeOptions& options) {
  nlohmann::json official = settings_of(options);
  official.erase("seed");
  return {{"view", options.test_crops ? "random crop and flip" : "test"},
          {"top1", probe.top1},
          {"top5", probe.top5},
          {"correct", probe.correct},
          {"samples", probe.samples},
          {"classes", probe.classes},
          {"features", probe.width},
          {"l2", nullptr},
          {"as_official", official},
          {"seed", options.seed}};
}

OfficialProbe official_probe_of(const FeatureSource& source, const OfficialProbeOptions& options) {
  ResNet copy = source.backbone.net.clone();
  return official_probe(copy, source.data.train, source.data.test,
                        static_cast<int>(source.data.classes.size()), options);
}

nlohmann::json FrozenMeasurement::measure(const FrozenEvaluation& evaluation) {
  nlohmann::json json = describe(source_);
  json.update(std::visit([&](const auto& options) { return result_of(options); }, evaluation.options));
  json["settings"] = settings_of(evaluation.options);
  return json;
}

nlohmann::json FrozenMeasurement::result_of(const KnnOptions& options) {
  return to_json(knn(features().train, features().test, options), features());
}

nlohmann::json FrozenMeasurement::result_of(LinearProbeOptions options) {
  options.on_evaluation = options_.on_batch;
  return to_json(linear_probe(features().train, features().test, options), options);
}

nlohmann::json FrozenMeasurement::result_of(OfficialProbeOptions options) {
  options.on_batch = options_.on_batch;
  options.workers = options_.workers;
  return to_json(official_probe_of(source_, options), options);
}

const SplitFeatures& FrozenMeasurement::features() {
  if (!features_) features_ = features_of(source_, options_);
  return *features_;
}

}  // namespace lamina::train
