// Permutations of axes: whatever the dtype, its bits are moved.
#include "core/cuda/cuda_backend.h"
#include "core/walk.h"

namespace lamina {
namespace {

template <typename Word>
void permute_kernel(cuda::Stream stream, const Tensor& x, const Walk<1>& walk, Tensor& out) {
  const Word* from = reinterpret_cast<const Word*>(x.raw());
  Word* to = reinterpret_cast<Word*>(out.raw());
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    to[i] = from[walk.row(i / walk.inner())[0] + i % walk.inner() * walk.axes[0].stride[0]];
  });
}

}  // namespace

void CudaBackend::permute(const Tensor& x, const std::vector<int>& order, Tensor& out) {
  const Walk<1> walk = permuted_walk(x.shape(), order);
  visit_word(x.dtype(), [&](auto word) { permute_kernel<decltype(word)>(stream(), x, walk, out); });
}

}  // namespace lamina
