// What is measured on a frozen backbone, as JSON with all that determines the number: `lamina knn` and
// `lamina linear` print it, studies keep it beside their runs.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "data/dataset.h"
#include "train/features.h"
#include "train/frozen_options.h"
#include "train/load_model.h"
#include "train/setup.h"

namespace lamina::train {

struct FeatureSource {
  Backbone backbone;
  data::Dataset data;  // both splits normalised as the backbone wants it
};
// Of data normalised in some way; where the backbone does not say how it wants them, they stay as they are.
FeatureSource feature_source(Backbone backbone, data::Dataset data);

// What a run of this recipe starts from, unless from a file: of the same seed, without a last layer or
// projector. On images normalised as the run's.
FeatureSource untrained_source(const ResolvedRecipe& recipe, const data::Dataset& data);

struct SplitFeatures {
  Features train, test;
};
SplitFeatures features_of(FeatureSource& source, const FeatureOptions& options);

// What stands beside every number: file, model, data, view, epoch, bn_batch, method, mean, std, and the
// weights' digest; null where unknown.
nlohmann::json describe(const FeatureSource& source);

// What came out, and what it depends on beside the source.
nlohmann::json to_json(const KnnResult& result, const SplitFeatures& features);
nlohmann::json to_json(const LinearProbe& probe, const LinearProbeOptions& options);
nlohmann::json to_json(const OfficialProbe& probe, const OfficialProbeOptions& options);

// The official probe on a copy of the backbone, which that may move.
OfficialProbe official_probe_of(const FeatureSource& source, const OfficialProbeOptions& options);

// Measures one source in several ways; its features are computed once.
class FrozenMeasurement {
 public:
  // `options.on_batch` is called during all that takes long; what it throws ends the measurement.
  explicit FrozenMeasurement(FeatureSource source, FeatureOptions options = {})
      : source_(std::move(source)), options_(std::move(options)) {}

  // describe() and to_json() together, and the options as "settings".
  nlohmann::json measure(const FrozenEvaluation& evaluation);

 private:
  nlohmann::json result_of(const KnnOptions& options);
  nlohmann::json result_of(LinearProbeOptions options);
  nlohmann::json result_of(OfficialProbeOptions options);
  const SplitFeatures& features();

  FeatureSource source_;
  FeatureOptions options_;
  std::optional<SplitFeatures> features_;
};

}  // namespace lamina::train
