#include "train/objectives/classification.h"

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "train/objectives/mixup.h"

namespace lamina {

Classification::Classification(Module& net, const ClassificationOptions& options)
    : net_(net), options_(options) {
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1)) {
    fail_usage("{} {}: expected 0 or more, and less than 1", option_name("label_smoothing"),
               options.label_smoothing);
  }
  if (options.mixup != 0 && !(options.mixup >= 1e-6 && options.mixup <= 1e6)) {
    fail_usage("{} {}: expected a positive number, from 1e-6 to 1e6, or 0 for none", option_name("mixup"),
               options.mixup);
  }
}

std::vector<std::pair<std::string, std::string>> Classification::options() const {
  std::vector<std::pair<std::string, std::string>> options{
      {"label_smoothing", fmt::format("{}", options_.label_smoothing)}};
  if (options_.mixup > 0) options.emplace_back("mixup", fmt::format("{}", options_.mixup));
  return options;
}

PartLoss Classification::loss(const data::Part& part) {
  if (options_.mixup > 0) return mixed_loss(part);
  return of_logits(net_(part.images()), part, options_.label_smoothing);
}

PartLoss Classification::mixed_loss(const data::Part& part) {
  check(
      part.images().device().type == DeviceType::cpu,
      "objective {}: {} needs its images on the CPU, but they are on {}: there a step is captured, with the "
      "numbers of one batch. Train on the CPU, or leave it out",
      name(), option_name("mixup"), part.images().device().str());
  const train::Mixup mixup = train::draw_mixup(options_.mixup, part);
  const Tensor logits = net_(train::mix(part.images(), mixup));
  const Tensor partners = train::permuted(part.labels, mixup.partners);
  const auto both = [&](const auto& of_labels) {
    return mixup.lambda * of_labels(part.labels) + (1 - mixup.lambda) * of_labels(partners);
  };
  const Tensor loss = both([&](const Tensor& labels) {
    return part.mean(cross_entropy_per_sample(logits, labels, {.label_smoothing = options_.label_smoothing}));
  });
  return {loss, {both([&](const Tensor& labels) { return sum(is_argmax(logits.detach(), labels)); })}};
}

PartLoss Classification::of_logits(const Tensor& logits, const data::Part& part, double label_smoothing) {
  const Tensor losses = cross_entropy_per_sample(logits, part.labels, {.label_smoothing = label_smoothing});
  return {part.mean(losses), {sum(is_argmax(logits.detach(), part.labels))}};
}

}  // namespace lamina
