#include "data/part.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina::data {

const Tensor& Part::view(int index) const {
  check(index >= 0 && index < std::ssize(views),
        "Part::view: view {} of a part that has {}; the loader makes LoaderOptions::views of them, and tests "
        "have one",
        index, views.size());
  return views[static_cast<std::size_t>(index)];
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
