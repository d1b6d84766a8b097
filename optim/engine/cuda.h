// The traversal on a GPU: what engine/cpu.h does, in three kernels whatever the depth of the model; one more
// with a trace, two more where the rule clips the gradient. Norms, trust ratios and the rule itself stay on
// the device, and the host waits for nothing.
#pragma once

#include "optim/engine/common.h"
#include "optim/rules/adamw.h"
#include "optim/rules/lamb.h"
#include "optim/rules/lars.h"
#include "optim/rules/sgd.h"
#include "optim/rules/tvlars.h"
#include "optim/step_reports.h"

namespace lamina::engine {

// What a step leaves behind for its report, one after another in device memory, where the next step
// overwrites it: the first byte of each.
struct ResultLayout {
  std::int64_t tensors;

  // Squares [tensors]: what was measured before the step
  std::int64_t sums() const { return 0; }
  // double [tensors]: squared norms of the weights' change, while tracing
  std::int64_t updates() const { return sums() + size<Squares>(tensors); }
  // Element<float> [tensors]: decay, learning rate and ratio that are applied
  std::int64_t elements() const { return updates() + size<double>(tensors); }
  // float: what clips the gradient by the norm of the whole model
  std::int64_t grad_scale() const { return elements() + size<Element<float>>(tensors); }
  // i32: the step in which something was not finite; 0: none
  std::int64_t failed() const { return grad_scale() + size<float>(1); }
  std::int64_t bytes() const { return failed() + size<std::int32_t>(1); }  // of all of them

  template <typename T>
  static std::int64_t size(std::int64_t count) {
    return count * static_cast<std::int64_t>(sizeof(T));
  }
};

// A step whose report has not been read.
struct UnreadStep {
  StepReport report;  // all but the layers
  std::vector<Measure> measure;
  bool trace = false;
};

// What an optimizer keeps on the GPU between steps.
struct CudaState {
  std::vector<Measure> measure;    // of each tensor, in the last step
  std::vector<UnreadStep> unread;  // the oldest first; at most StepReports::kept
  Tensor chunks;                   // Chunk [chunks]
  Tensor first_chunk;              // i32 [tensors + 1]
  Tensor layers;                   // LayerConstants [tensors]
  Tensor step;                     // StepValues<Rule>
  Tensor partial;                  // Squares [chunks]
  Tensor results;                  // of the last step, as ResultLayout has them
  Tensor kept;                     // [StepReports::kept, as many bytes]: those of the unread steps before it
};

// Whether this build has the steps of a rule. A rule of one's own gets it in a .cu file that includes
// optim/engine/cuda_step.h, specialises this and instantiates cuda_prepare and cuda_apply.
template <typename Rule>
inline constexpr bool built_for_cuda = false;

// A step in two halves, of which the second may be captured (core/captured.h): what differs from step to step
// is handed to the GPU by the first. If a norm or a ratio is not finite, neither this step nor a later one
// changes anything until read_reports() has told so.
template <typename Rule>
void cuda_prepare(const Arena& arena, std::span<const LayerSettings> settings, const Rule& rule,
                  const Step& step, const Request& request, const StepReport& report, CudaState& state);
template <typename Rule>
void cuda_apply(const Arena& arena, const Rule& rule, const Request& request, CudaState& state);

// Waits for the GPU and adds the reports of all unread steps, the oldest first. Throws Error as the CPU's
// step does, naming the step and the tensor, with the steps before that one added; those after it have not
// been.
void read_reports(const Arena& arena, std::span<const LayerSettings> settings, CudaState& state,
                  std::vector<StepReport>& reports);

#ifdef LAMINA_CUDA
template <>
inline constexpr bool built_for_cuda<rules::Sgd<float>> = true;
template <>
inline constexpr bool built_for_cuda<rules::AdamW<float>> = true;
template <>
inline constexpr bool built_for_cuda<rules::Lars<float>> = true;
template <>
inline constexpr bool built_for_cuda<rules::Lamb<float>> = true;
template <>
inline constexpr bool built_for_cuda<rules::TvLars<float>> = true;
#endif

}  // namespace lamina::engine
