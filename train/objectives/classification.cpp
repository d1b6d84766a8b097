#include "train/objectives/classification.h"

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"

namespace lamina {

Classification::Classification(Module& net, const ClassificationOptions& options)
    : net_(net), options_(options) {
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1)) {
    fail_usage("{} {}: expected 0 or more, and less than 1", option_name("label_smoothing"),
               options.label_smoothing);
  }
}

std::vector<std::pair<std::string, std::string>> Classification::options() const {
  return {{"label_smoothing", fmt::format("{}", options_.label_smoothing)}};
}

PartLoss Classification::of_logits(const Tensor& logits, const data::Part& part, double label_smoothing) {
  const Tensor losses = cross_entropy_per_sample(logits, part.labels, {.label_smoothing = label_smoothing});
  return {part.mean(losses), {sum(is_argmax(logits.detach(), part.labels))}};
}

}  // namespace lamina
