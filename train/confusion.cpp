#include "train/confusion.h"

#include <limits>

#include "core/base/error.h"

namespace lamina {

ConfusionMatrix::ConfusionMatrix(std::int64_t classes)
    : classes_(classes), counts_(static_cast<std::size_t>(classes * classes)) {}

std::size_t ConfusionMatrix::at(std::int64_t label, std::int64_t predicted) const {
  check(label >= 0 && label < classes_ && predicted >= 0 && predicted < classes_,
        "confusion matrix: class {} taken for class {}; expected 0 to {}", label, predicted, classes_ - 1);
  return static_cast<std::size_t>(label * classes_ + predicted);
}

void ConfusionMatrix::add(std::int64_t label, std::int64_t predicted, std::int64_t samples) {
  counts_[at(label, predicted)] += samples;
}

std::int64_t ConfusionMatrix::samples(std::int64_t label) const {
  std::int64_t sum = 0;
  for (std::int64_t c = 0; c < classes_; ++c) sum += count(label, c);
  return sum;
}

double ConfusionMatrix::accuracy(std::int64_t label) const {
  const std::int64_t all = samples(label);
  if (all == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(count(label, label)) / static_cast<double>(all);
}

std::int64_t ConfusionMatrix::most_confused_with(std::int64_t label) const {
  std::int64_t most = 0, with = -1;
  for (std::int64_t c = 0; c < classes_; ++c) {
    if (c != label && count(label, c) > most) most = count(label, c), with = c;
  }
  return with;
}

}  // namespace lamina
