// What a loader hands out: a batch, or a part of one.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "core/tensor.h"

namespace lamina::data {

// A part of a batch: the whole batch unless the loader splits it.
struct Part {
  std::vector<Tensor> views = {};  // each f32 [n, H, W, C], normalised: the samples, each time augmented anew
  Tensor labels = {};              // i32 [n]
  std::vector<std::int64_t> samples = {};  // rows of the split
  std::int64_t batch = 0;                  // index of the batch in its epoch
  std::int64_t batch_samples = 0;          // samples of the whole batch
  std::int64_t offset = 0;                 // samples of the batch before this part, also of other shares
  int pass = 0, passes = 1;                // the batch's parts come so many times, all of them in each pass
  bool begins_pass = true;                 // the first of its batch, or share, in this pass
  bool completes_batch = true;  // the last of its batch, or share, in the last pass: then comes the step
  std::int64_t epoch = 0;       // from 0
  std::uint64_t seed = 0;       // the loader's

  const Tensor& images() const { return view(0); }
  const Tensor& view(int index) const;  // of the samples, from 0; throws Error if there are not as many
  std::int64_t size() const;            // samples in this part
  bool is_whole_batch() const { return size() == batch_samples; }
  bool is_of_last_pass() const { return pass == passes - 1; }

  // f32 [size()] -> a scalar, sum(per_sample) / batch_samples: the part's share of the mean over its batch,
  // so that the shares of all parts add up to it. Differentiable. Throws Error for another shape, and where
  // batch_samples is less than size().
  Tensor mean(const Tensor& per_sample) const;

  // auto [images, labels] = part
  template <std::size_t I>
  const Tensor& get() const {
    static_assert(I < 2);
    if constexpr (I == 0) return images();
    if constexpr (I == 1) return labels;
  }
};

}  // namespace lamina::data

template <>
struct std::tuple_size<lamina::data::Part> : std::integral_constant<std::size_t, 2> {};
template <std::size_t I>
struct std::tuple_element<I, lamina::data::Part> {
  using type = const lamina::Tensor;
};
