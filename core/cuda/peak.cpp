// What a GPU can compute.
#include <algorithm>

#include "core/cuda/cuda_backend.h"
#include "core/cuda/owned.h"

namespace lamina {

// A product this large keeps every multiplier of any GPU busy.
double CudaBackend::peak_gflops() {
  constexpr std::int64_t size = 4096;
  const Tensor a = Tensor::full({size, size}, 1, {.device = device()}),
               b = Tensor::full({size, size}, 1, a.options());
  Tensor out = Tensor::empty_like(a);
  matmul(a, b, {}, out);
  const cuda::Stopwatch stopwatch(stream());
  double milliseconds = stopwatch.milliseconds([&] { matmul(a, b, {}, out); });
  for (int i = 0; i < 4; ++i)
    milliseconds = std::min(milliseconds, stopwatch.milliseconds([&] { matmul(a, b, {}, out); }));
  return 2e-6 * size * size * size / milliseconds;
}

}  // namespace lamina
