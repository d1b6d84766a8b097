#include "core/base/unsigned_nan.h"
#include "core/parallel_for.h"
#include "optim/engine/built_in_steps.h"
#include "optim/engine/engine.h"

namespace lamina {

namespace engine {

std::vector<Chunk> chunks_of(std::span<const Segment> segments, std::int64_t longest) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::int64_t end = segments[i].offset + segments[i].elements;
    for (std::int64_t begin = segments[i].offset; begin < end; begin += longest)
      chunks.push_back({i, begin, std::min(end, begin + longest)});
  }
  return chunks;
}

void for_each(std::span<const Chunk> chunks, const std::function<void(std::size_t)>& body) {
  std::vector<std::size_t> ends;  // of groups of chunks with some chunk_elements together
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    elements += chunks[i].end - chunks[i].begin;
    if (elements < chunk_elements && i + 1 < chunks.size()) continue;
    ends.push_back(i + 1);
    elements = 0;
  }
  parallel_for(static_cast<std::int64_t>(ends.size()), 1, [&](std::int64_t group, std::int64_t) {
    const auto g = static_cast<std::size_t>(group);
    for (std::size_t i = g == 0 ? 0 : ends[g - 1]; i < ends[g]; ++i) body(i);
  });
}

void check_finite(std::span<const Segment> segments, std::span<const Squares> sums, const Step& step) {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const Squares& s = sums[i];
    const char* what = !std::isfinite(s.grad)     ? "the gradient"
                       : !std::isfinite(s.weight) ? "the weights"
                       : !std::isfinite(s.other)  ? "the update direction"
                                                  : nullptr;
    if (what != nullptr)
      fail(
          "optimizer step {}: {} of {} {} is not finite; nothing was changed. Lower the learning rate, "
          "lengthen the warm-up or clip the gradient; FiniteCheck (core/autograd.h) finds the op it comes "
          "from",
          step.number, what, segments[i].name, segments[i].shape.str());
  }
}

void check_trust(double trust, const Segment& segment, const Step& step) {
  check(std::isfinite(trust),
        "optimizer step {}: the trust ratio of {} {} is {}; nothing was changed. Its weights or its update "
        "are zero: set zero_norm to one",
        step.number, segment.name, segment.shape.str(), unsigned_nan(trust));
}

template <template <typename> class Rule, typename Real>
void built_in_step(const Arena& arena, std::span<const LayerSettings> settings, const Rule<Real>& rule,
                   const Step& step, const Request& request, StepReport& report) {
  switch (cpu::chosen_instruction_set()) {
#define LAMINA_CASE(set)         \
  case cpu::InstructionSet::set: \
    return cpu::set::built_in_step(arena, settings, rule, step, request, report);
    LAMINA_INSTRUCTION_SETS(LAMINA_CASE)
#undef LAMINA_CASE
  }
}

}  // namespace engine

#define LAMINA_INSTANTIATE(rule) template class OptimizerOf<rule>;
LAMINA_BUILT_IN_RULES(LAMINA_INSTANTIATE)

}  // namespace lamina
