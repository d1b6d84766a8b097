#include "own_rule.h"

#include "optim/engine_cuda_step.h"

template void lamina::engine::cuda_step(const Arena&, std::span<const LayerSettings>,
                                        const tests::SignLars<float>&, const Step&, const Request&,
                                        CudaState&);
