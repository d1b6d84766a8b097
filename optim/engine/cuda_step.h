// The kernels of a step on a GPU; for .cu files.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include "core/cuda/cuda_backend.h"
#include "optim/engine/cuda.h"
#include "optim/engine/cuda_elements.h"

namespace lamina::engine {

LAMINA_HD bool is_finite(double x) { return x - x == 0; }

template <typename T>
T* device_array(const Tensor& bytes) {
  return reinterpret_cast<T*>(bytes.raw());
}

// Everything is public: nvcc does not let kernels see private types.
template <typename Rule>
struct CudaStep {
  static_assert(std::is_trivially_copyable_v<Rule>);
  static constexpr std::size_t slots = Rule::slots.size();
  using Values = StepValues<Rule>;

  using Arrays = CudaArrays<Rule>;
  using Common = CudaCommon<Rule>;

  CudaStep(const Arena& arena, const CudaState& state)
      : backend_(static_cast<CudaBackend&>(backend_for(arena.device()))),
        chunks_(state.partial.elements() / static_cast<std::int64_t>(sizeof(Squares))),
        tensors_(static_cast<std::int64_t>(arena.segments().size())),
        arrays_{.chunks = device_array<Chunk>(state.chunks),
                .first_chunk = state.first_chunk.data<std::int32_t>(),
                .layers = device_array<LayerConstants>(state.layers),
                .step = device_array<Values>(state.step),
                .partial = device_array<Squares>(state.partial),
                .sums = result<Squares>(state, layout().sums()),
                .elements = result<Element<float>>(state, layout().elements()),
                .updates = result<double>(state, layout().updates()),
                .failed = result<std::int32_t>(state, layout().failed()),
                .grad_scale = result<float>(state, layout().grad_scale()),
                .weights = arena.values().data<float>(),
                .grads = arena.grads().data<float>(),
                .slot = {}} {
    for (std::size_t k = 0; k < slots; ++k) arrays_.slot[k] = arena.slot(k).data<float>();
  }

  ResultLayout layout() const { return {tensors_}; }
  template <typename T>
  static T* result(const CudaState& state, std::int64_t offset) {
    return reinterpret_cast<T*>(state.results.raw() + offset);
  }

  void run(const Rule& rule, const Request& request) {
    if (max_grad_norm(rule) > 0) clip(max_grad_norm(rule));
    measure();
    adapt(request.finite_check);
    apply();
    if (request.trace) add_up_changes();
  }

  static constexpr int width = Arrays::width;
  static constexpr int packs_in_turn = 4;

  // Fixes the factor that brings the gradient of the whole model down to the rule's max_grad_norm.
  void clip(double max_norm) {
    const Arrays a = arrays_;
    cuda::sum_middle<1, 1, packs_in_turn>(
        backend_.stream(), backend_.allocator(), {chunks_, cuda_chunk / width, 1},
        [=] LAMINA_DEVICE(std::int64_t c, std::int64_t) {
          const Chunk chunk = a.chunks[c];
          return [=](std::int64_t s) {
            const std::int64_t i = chunk.begin + s * width, count = chunk.end - i;
            const auto loaded =
                count > 0 ? cuda::load<width>(a.grads, i / width) : cuda::Pack<float, width>{};
            return [=] {
              cuda::Sums<1> sum;
              for (int k = 0; k < width && k < count; ++k)
                sum.value[0] += static_cast<double>(loaded.value[k]) * static_cast<double>(loaded.value[k]);
              return sum;
            };
          };
        },
        [=] LAMINA_DEVICE(std::int64_t c, const cuda::Sums<1>& sums) {
          a.partial[c] = {0, sums.value[0], 0};
        });
    const std::int64_t chunks = chunks_;
    cuda::for_each_row(backend_.stream(), 1, [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t) {
      double sum = 0;
      for (std::int64_t c = team.lane; c < chunks; c += cuda::Team::size) sum += a.partial[c].grad;
      sum = team.sum(sum);
      const double excess = std::sqrt(sum) / max_norm;
      if (team.lane == 0) *a.grad_scale = static_cast<float>(excess > 1 ? 1 / excess : 1.0);
    });
  }

  void measure() {
    const Arrays a = arrays_;
    cuda::sum_middle<3, 1, packs_in_turn>(
        backend_.stream(), backend_.allocator(), {chunks_, cuda_chunk / width, 1},
        [=] LAMINA_DEVICE(std::int64_t c, std::int64_t) {
          const Chunk chunk = a.chunks[c];
          const LayerConstants layer = a.layers[chunk.segment];
          const Common common{a.step->rule, {0, 0, layer.weight_decay, 0, 1}, layer.measure, *a.grad_scale};
          const std::int64_t end = layer.measure == Measure::nothing ? chunk.begin : chunk.end;
          return [=](std::int64_t s) {
            const std::int64_t i = chunk.begin + s * width, count = end - i;
            const auto loaded =
                count > 0 ? a.load(i, common.measure == Measure::all) : typename Arrays::Loaded{};
            return [=, &common] { return common.squares(loaded, count); };
          };
        },
        [=] LAMINA_DEVICE(std::int64_t c, const cuda::Sums<3>& sums) {
          a.partial[c] = {sums.value[0], sums.value[1], sums.value[2]};
        });
  }

  // Norms and trust ratios; nothing has been written yet. Whoever finds something that is not finite notes
  // the step; several may, with the same number.
  void adapt(bool finite_check) {
    const Arrays a = arrays_;
    cuda::for_each_row(
        backend_.stream(), tensors_, [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t tensor) {
          const std::int32_t failed = *a.failed;  // once: others may be noting it
          if (failed != 0 && failed != a.step->number) return;
          cuda::Sums<3> parts;
          for (std::int64_t c = a.first_chunk[tensor] + team.lane; c < a.first_chunk[tensor + 1];
               c += cuda::Team::size)
            parts += cuda::Sums<3>{{a.partial[c].weight, a.partial[c].grad, a.partial[c].other}};
          const Squares sums{team.sum(parts.value[0]), team.sum(parts.value[1]), team.sum(parts.value[2])};
          if (team.lane != 0) return;
          const LayerConstants& layer = a.layers[tensor];
          Element<float> e{0, 0, layer.weight_decay, 0, 1};
          e.lr = static_cast<float>(a.step->lr * static_cast<double>(layer.lr_scale));
          if (layer.adapts) {
            const auto trust = trust_of<Rule, float>(a.step->rule, sums, e.weight_decay, e.lr);
            e.trust = trust.ratio, e.weight_decay = trust.weight_decay;
          }
          a.sums[tensor] = sums;
          a.elements[tensor] = e;
          const bool finite = is_finite(sums.weight) && is_finite(sums.grad) && is_finite(sums.other) &&
                              is_finite(static_cast<double>(e.trust));
          if (finite_check && !finite) *a.failed = a.step->number;
        });
  }

  // Takes the step; each chunk's sum of the weights' squared changes is for traces.
  void apply() {
    const Arrays a = arrays_;
    cuda::sum_middle<1, 1, packs_in_turn>(
        backend_.stream(), backend_.allocator(), {chunks_, cuda_chunk / width, 1},
        [=] LAMINA_DEVICE(std::int64_t c, std::int64_t) {
          const Chunk chunk = a.chunks[c];
          const Common common{a.step->rule, a.elements[chunk.segment], Measure::nothing, *a.grad_scale};
          const std::int64_t end = *a.failed == 0 ? chunk.end : chunk.begin;
          return [=](std::int64_t s) {
            const std::int64_t i = chunk.begin + s * width, count = end - i;
            const auto loaded = count > 0 ? a.load(i, true) : typename Arrays::Loaded{};
            return [=, &common] {
              auto changed = loaded;
              const cuda::Sums<1> squares{{common.apply(changed, count)}};
              if (count > 0) a.store(changed, i);
              return squares;
            };
          };
        },
        [=] LAMINA_DEVICE(std::int64_t c, const cuda::Sums<1>& sums) { a.partial[c].other = sums.value[0]; });
  }

  void add_up_changes() {
    const Arrays a = arrays_;
    cuda::for_each_row(backend_.stream(), tensors_,
                       [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t tensor) {
                         double sum = 0;
                         for (std::int64_t c = a.first_chunk[tensor] + team.lane;
                              c < a.first_chunk[tensor + 1]; c += cuda::Team::size)
                           sum += a.partial[c].other;
                         sum = team.sum(sum);
                         if (team.lane == 0 && *a.failed == 0) a.updates[tensor] = sum;
                       });
  }

  CudaBackend& backend_;
  std::int64_t chunks_, tensors_;
  Arrays arrays_;
};

template <typename T>
Tensor device_copy(const std::vector<T>& values, Device device) {
  Tensor tensor = Tensor::empty({static_cast<std::int64_t>(values.size() * sizeof(T))}, {DType::u8, device});
  backend_for(device).copy_from_host(values.data(), tensor);
  return tensor;
}

template <typename Rule>
void prepare(const Arena& arena, CudaState& state) {
  const std::vector<Chunk> chunks = chunks_of(arena.segments(), cuda_chunk);
  const auto tensors = static_cast<std::int64_t>(arena.segments().size());
  std::vector<std::int32_t> first(arena.segments().size() + 1);
  for (const Chunk& chunk : chunks) ++first[chunk.segment + 1];
  for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  const auto room = [&](std::size_t bytes, std::int64_t count) {
    return Tensor::empty({static_cast<std::int64_t>(bytes) * count}, {DType::u8, arena.device()});
  };
  const ResultLayout layout{tensors};
  state.chunks = device_copy(chunks, arena.device());
  state.first_chunk = Tensor::from(first, {tensors + 1}, arena.device());
  state.step = room(sizeof(StepValues<Rule>), 1);
  state.partial = room(sizeof(Squares), static_cast<std::int64_t>(chunks.size()));
  state.results = room(1, layout.bytes());
  state.results.fill(0);
  Tensor grad_scale = state.results.flat(layout.grad_scale(), {sizeof(float)});
  constexpr float one = 1;
  backend_for(arena.device()).copy_from_host(&one, grad_scale);
  state.kept = Tensor::empty({StepReports::kept, layout.bytes()}, {DType::u8, arena.device()});
}

// What is to be measured of each tensor. What was clipped is measured again.
template <typename Rule>
std::vector<Measure> measures(std::span<const LayerSettings> settings, const Rule& rule,
                              const Request& request) {
  std::vector<Measure> measure;
  for (const LayerSettings& layer : settings) {
    const Measure wanted = measured(rule, layer, request);
    measure.push_back(max_grad_norm(rule) > 0 ? std::max(wanted, Measure::grad) : wanted);
  }
  return measure;
}

template <typename Rule>
void cuda_prepare(const Arena& arena, std::span<const LayerSettings> settings, const Rule& rule,
                  const Step& step, const Request& request, const StepReport& report, CudaState& state) {
  if (!state.chunks.defined()) prepare<Rule>(arena, state);
  std::vector<Measure> measure = measures(settings, rule, request);
  if (measure != state.measure) {
    std::vector<LayerConstants> layers;
    for (std::size_t i = 0; i < settings.size(); ++i)
      layers.push_back({static_cast<float>(settings[i].weight_decay),
                        static_cast<float>(settings[i].lr_scale), measure[i], settings[i].adapts});
    if (!state.layers.defined())
      state.layers = Tensor::empty({ResultLayout::size<LayerConstants>(std::ssize(layers))},
                                   {DType::u8, arena.device()});
    backend_for(arena.device())
        .copy_from_host(layers.data(), state.layers);  // in place: graphs read it there
    state.measure = measure;
  }
  if (!state.unread.empty()) {
    const auto last = static_cast<std::int64_t>(state.unread.size()) - 1;
    state.kept.rows(last, 1).view(state.results.shape()).copy_from(state.results);
  }
  const StepValues<Rule> values{rule, step.lr, static_cast<std::int32_t>(step.number)};
  backend_for(arena.device()).copy_from_host(&values, state.step);
  state.unread.push_back({report, std::move(measure), request.trace});
}

template <typename Rule>
void cuda_apply(const Arena& arena, const Rule& rule, const Request& request, CudaState& state) {
  CudaStep<Rule>(arena, state).run(rule, request);
}

}  // namespace lamina::engine
