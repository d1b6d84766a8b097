// The traversal on a GPU: what engine_cpu.h does, in three kernels whatever the depth of the model; one more
// with a trace, two more where the rule clips the gradient. Norms, trust ratios and the rule itself stay on
// the device, and the host waits for nothing.
#pragma once

#include "optim/engine_common.h"

namespace lamina::engine {

// What an optimizer keeps on the GPU between steps.
struct CudaState {
  std::vector<Measure> measure;  // of each tensor, in the last step
  Request request;               // of the last step
  Tensor chunks;                 // Chunk [chunks]
  Tensor first_chunk;            // i32 [tensors + 1]
  Tensor layers;                 // LayerConstants [tensors]
  Tensor step;                   // StepValues<Rule>
  Tensor partial;                // Squares [chunks]
  Tensor sums;                   // Squares [tensors]
  Tensor elements;               // Element<float> [tensors]: decay, learning rate and ratio that are applied
  Tensor updates;                // double [tensors]: squared norms of the weights' change
  Tensor failed;                 // i32 [1]: the step in which something was not finite; 0: none
  Tensor grad_scale;             // f32 [1]: what clips the gradient by the norm of the whole model
};

// Whether this build has cuda_step for a rule. A rule of one's own gets it in a .cu file that includes
// optim/engine_cuda_step.h, specialises this and instantiates cuda_step.
template <typename Rule>
inline constexpr bool built_for_cuda = false;

// Hands a step to the GPU. If a norm or a ratio is not finite, neither this step nor a later one changes
// anything until read_report() has told so.
template <typename Rule>
void cuda_step(const Arena& arena, std::span<const LayerSettings> settings, const Rule& rule,
               const Step& step, const Request& request, CudaState& state);

// Waits for the GPU. Throws Error as the CPU's step does, naming the step and the tensor.
void read_report(const Arena& arena, std::span<const LayerSettings> settings, CudaState& state,
                 StepReport& report);

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
