// Masks of dropout.
#include "core/base/rounding.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/dropout.h"

namespace lamina {
namespace {

template <typename T>
void mask_kernel(cuda::Stream stream, const std::int32_t* draw, std::uint64_t seed, double keep,
                 Tensor& mask) {
  const std::int64_t elements = mask.elements();
  T* to = mask.data<T>();
  cuda::for_each(stream, ceil_div(elements, math::DropoutMask::block), [=] LAMINA_DEVICE(std::int64_t block) {
    const math::DropoutMask drawn{seed, static_cast<std::uint32_t>(*draw), keep};
    drawn.fill(block * math::DropoutMask::block, elements, to);
  });
}

}  // namespace

void CudaBackend::dropout_mask(const Tensor& draw, std::uint64_t seed, double keep, Tensor& mask) {
  std::int32_t* number = draw.data<std::int32_t>();
  cuda::visit_floating(mask.dtype(), "dropout",
                       [&](auto zero) { mask_kernel<decltype(zero)>(stream(), number, seed, keep, mask); });
  cuda::for_each(stream(), 1, [=] LAMINA_DEVICE(std::int64_t) { ++*number; });
}

}  // namespace lamina
