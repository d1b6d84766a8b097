#include "data/part.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina::data {

const Tensor& Part::images() const {
  check(!views.empty(), "Part::images: the part has no views; expected at least one");
  return views.front();
}

std::int64_t Part::size() const { return labels.defined() ? labels.size(0) : 0; }

Tensor Part::mean(const Tensor& per_sample) const {
  check(per_sample.defined() && per_sample.shape() == Shape{size()},
        "Part::mean: {}; expected one value for each of the part's {} samples",
        per_sample.defined() ? per_sample.str() : "an undefined tensor", size());
  check(batch_samples > 0 && batch_samples >= size(),
        "Part::mean: a batch of {} samples with a part of {}; set batch_samples", batch_samples, size());
  return sum(per_sample) / static_cast<double>(batch_samples);
}

}  // namespace lamina::data
