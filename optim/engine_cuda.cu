#include "optim/engine_cuda_step.h"

namespace lamina::engine {

template void cuda_step(const Arena&, std::span<const LayerSettings>, const rules::Sgd<float>&, const Step&,
                        const Request&, CudaState&);
template void cuda_step(const Arena&, std::span<const LayerSettings>, const rules::AdamW<float>&, const Step&,
                        const Request&, CudaState&);
template void cuda_step(const Arena&, std::span<const LayerSettings>, const rules::Lars<float>&, const Step&,
                        const Request&, CudaState&);
template void cuda_step(const Arena&, std::span<const LayerSettings>, const rules::Lamb<float>&, const Step&,
                        const Request&, CudaState&);
template void cuda_step(const Arena&, std::span<const LayerSettings>, const rules::TvLars<float>&,
                        const Step&, const Request&, CudaState&);

}  // namespace lamina::engine
