// Masks of dropout.
#include "core/math/dropout.h"
#include "core/cpu/cpu_backend.h"
#include "core/parallel_for.h"
#include "core/random.h"

namespace lamina {

static_assert(math::DropoutMask::stream == static_cast<std::uint32_t>(Stream::dropout));

void CpuBackend::dropout_mask(const Tensor& draw, std::uint64_t seed, double keep, Tensor& mask) {
  const math::DropoutMask drawn{
      .seed = seed, .draw = static_cast<std::uint32_t>(*draw.data<std::int32_t>()), .keep = keep};
  visit_floating(mask.dtype(), "dropout", [&](auto zero) {
    using T = decltype(zero);
    constexpr std::int64_t chunk = 4096;  // elements, in whole blocks
    T* to = mask.data<T>();
    parallel_for(mask.elements(), chunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += math::DropoutMask::block) drawn.fill(i, end, to);
    });
  });
  ++*draw.data<std::int32_t>();
}

}  // namespace lamina
