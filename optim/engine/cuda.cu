#include "optim/engine/cuda_step.h"

namespace lamina::engine {

template void cuda_prepare(const Arena&, std::span<const LayerSettings>, const rules::Sgd<float>&,
                           const Step&, const Request&, const StepReport&, CudaState&);
template void cuda_apply(const Arena&, const rules::Sgd<float>&, const Request&, CudaState&);
template void cuda_prepare(const Arena&, std::span<const LayerSettings>, const rules::AdamW<float>&,
                           const Step&, const Request&, const StepReport&, CudaState&);
template void cuda_apply(const Arena&, const rules::AdamW<float>&, const Request&, CudaState&);
template void cuda_prepare(const Arena&, std::span<const LayerSettings>, const rules::Lars<float>&,
                           const Step&, const Request&, const StepReport&, CudaState&);
template void cuda_apply(const Arena&, const rules::Lars<float>&, const Request&, CudaState&);
template void cuda_prepare(const Arena&, std::span<const LayerSettings>, const rules::Lamb<float>&,
                           const Step&, const Request&, const StepReport&, CudaState&);
template void cuda_apply(const Arena&, const rules::Lamb<float>&, const Request&, CudaState&);
template void cuda_prepare(const Arena&, std::span<const LayerSettings>, const rules::TvLars<float>&,
                           const Step&, const Request&, const StepReport&, CudaState&);
template void cuda_apply(const Arena&, const rules::TvLars<float>&, const Request&, CudaState&);

}  // namespace lamina::engine
