#include "own_rule.h"

#include "optim/engine/cuda_step.h"

template void lamina::engine::cuda_prepare(const Arena&, std::span<const LayerSettings>,
                                           const tests::SignLars<float>&, const Step&, const Request&,
                                           const StepReport&, CudaState&);
template void lamina::engine::cuda_apply(const Arena&, const tests::SignLars<float>&, const Request&,
                                         CudaState&);
