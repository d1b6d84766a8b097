#include "train/features.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/autograd.h"
#include "core/base/error.h"
#include "data/loader.h"
#include "train/frozen_state.h"

namespace lamina {
namespace {

using Forward = std::function<Tensor(const Tensor& images)>;

// The batches' outputs below one another.
Tensor outputs_of(const Forward& forward, const data::Loader& loader, Device device,
                  const FeatureOptions& options) {
  Tensor values;
  std::int64_t done = 0;
  for (const data::Part& part : loader.epoch(0, device)) {
    const Tensor output = forward(part.images()).to(DType::f32);
    check(output.rank() == 2 && output.size(0) == part.size(),
          "features: the output for {} images is {}; expected [{}, D]", part.size(), output, part.size());
    if (!values.defined()) values = Tensor::empty({loader.samples(), output.size(1)});
    values.rows(done, part.size()).copy_from(output.detach());
    done += part.size();
    if (options.on_batch) options.on_batch();
  }
  return values;
}

Features features_by(const Forward& forward, Module& backbone, const data::Split& split,
                     const FeatureOptions& options) {
  const ParamList state = backbone.state();
  const Device device = state.empty() ? Device::cpu() : state.front()->value.device();
  const NoGrad no_grad;
  const EvalMode eval_mode(backbone);
  const train::FrozenState frozen(state);
  const data::Loader loader = data::evaluation_loader(split, options.batch, options.workers);
  Features features{.values = outputs_of(forward, loader, device, options),
                    .labels = split.labels.to_vector<std::int32_t>()};
  frozen.check_unchanged("features", backbone.kind());
  return features;
}

}  // namespace

int Features::classes() const {
  return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1;
}

Features features_of(Module& backbone, const data::Split& split, const FeatureOptions& options) {
  if (auto* net = dynamic_cast<ResNet*>(&backbone)) return features_of(*net, split, options);
  return features_by([&](const Tensor& images) { return backbone(images); }, backbone, split, options);
}

Features features_of(ResNet& backbone, const data::Split& split, const FeatureOptions& options) {
  return features_by([&](const Tensor& images) { return backbone.features(images); }, backbone, split,
                     options);
}

void check_features(const Features& features, const std::string& source) {
  check(features.values.rank() == 2 && features.values.elements() > 0 &&
            features.values.dtype() == DType::f32 && features.values.device() == Device::cpu(),
        "{}: expected features [N, D], f32 on the CPU, of at least one image and number", source);
  check(std::ssize(features.labels) == features.size(),
        "{}: {} labels for the features of {} images; without labels they cannot be measured", source,
        features.labels.size(), features.size());
  const std::int32_t least = *std::min_element(features.labels.begin(), features.labels.end());
  check(least >= 0, "{}: a label is {}; expected classes from 0: images without labels cannot be measured",
        source, least);
  const auto* first = features.values.data<float>();
  const auto* wrong =
      std::find_if(first, first + features.values.elements(), [](float x) { return !std::isfinite(x); });
  check(wrong == first + features.values.elements(),
        "{}: feature {} of image {} is {}: the weights are of no use", source,
        (wrong - first) % features.width(), (wrong - first) / features.width(),
        wrong == first + features.values.elements() ? 0.0f : *wrong);
}

}  // namespace lamina
