// What the kernels of an optimizer's step read and write, four elements at a time; for .cu files.
#pragma once

#include <array>
#include <cstdint>

#include "core/cuda/pack.h"
#include "core/cuda/sums.h"
#include "optim/engine/common.h"

namespace lamina::engine {

// A chunk is what one block measures and changes: a sum of one part (cuda::SumPlan).
inline constexpr std::int64_t cuda_chunk = 8192;

struct LayerConstants {
  float weight_decay, lr_scale;
  Measure measure;
  bool adapts;
};

// What changes from step to step, in device memory: so that a captured step can be replayed.
template <typename Rule>
struct StepValues {
  Rule rule;
  double lr;
  std::int32_t number;
};

// Plain pointers for the kernels.
template <typename Rule>
struct CudaArrays {
  static constexpr std::size_t slots = Rule::slots.size();

  const Chunk* chunks;
  const std::int32_t* first_chunk;
  const LayerConstants* layers;
  StepValues<Rule>* step;
  Squares *partial, *sums;
  Element<float>* elements;
  double* updates;
  std::int32_t* failed;
  float* grad_scale;
  float* weights;
  const float* grads;
  std::array<float*, slots> slot;

  // Neighbours, 16 bytes of each array. The padding behind a tensor is read with it, and stays.
  static constexpr int width = 4;
  using Pack = cuda::Pack<float, width>;
  struct Loaded {
    Pack weight, grad;
    std::array<Pack, slots> slot;

    LAMINA_HD std::array<float, slots> slots_of(int k) const {
      std::array<float, slots> s;
      for (std::size_t j = 0; j < slots; ++j) s[j] = slot[j].value[k];
      return s;
    }
  };
  LAMINA_HD Loaded load(std::int64_t i, bool with_slots) const {
    Loaded loaded{cuda::load<width>(weights, i / width), cuda::load<width>(grads, i / width), {}};
    for (std::size_t j = 0; j < slots && with_slots; ++j)
      loaded.slot[j] = cuda::load<width>(slot[j], i / width);
    return loaded;
  }
  LAMINA_HD void store(const Loaded& changed, std::int64_t i) const {
    cuda::store(changed.weight, weights, i / width);
    for (std::size_t j = 0; j < slots; ++j) cuda::store(changed.slot[j], slot[j], i / width);
  }
};

// What a chunk's elements have in common.
template <typename Rule>
struct CudaCommon {
  using Arrays = CudaArrays<Rule>;

  Rule rule;
  Element<float> constants;
  Measure measure;
  float grad_scale;

  LAMINA_HD Element<float> element(const typename Arrays::Loaded& loaded, int k) const {
    Element<float> e = constants;
    e.weight = loaded.weight.value[k];
    e.grad = grad_scale * loaded.grad.value[k];
    return e;
  }
  // What the first `count` elements add to the sums, as their tensor wants it.
  LAMINA_HD cuda::Sums<3> squares(const typename Arrays::Loaded& loaded, std::int64_t count) const {
    cuda::Sums<3> terms;
    for (int k = 0; k < Arrays::width && k < count; ++k) {
      const Element<float> e = element(loaded, k);
      terms.value[0] += static_cast<double>(e.weight) * static_cast<double>(e.weight);
      terms.value[1] += static_cast<double>(e.grad) * static_cast<double>(e.grad);
      if constexpr (Rule::layerwise) {
        if (measure != Measure::all) continue;
        const auto u = static_cast<double>(rule.update_direction(e, loaded.slots_of(k).data()));
        terms.value[2] += u * u;
      }
    }
    return terms;
  }
  // Changes them; the squares of the weights' changes.
  LAMINA_HD double apply(typename Arrays::Loaded& loaded, std::int64_t count) const {
    double squares = 0;
    for (int k = 0; k < Arrays::width && k < count; ++k) {
      std::array<float, Arrays::slots> s = loaded.slots_of(k);
      const float before = loaded.weight.value[k];
      const float weight = rule.apply(element(loaded, k), s.data());
      loaded.weight.value[k] = weight;
      for (std::size_t j = 0; j < Arrays::slots; ++j) loaded.slot[j].value[k] = s[j];
      const auto change = static_cast<double>(weight - before);
      squares += change * change;
    }
    return squares;
  }
};

}  // namespace lamina::engine
