// Slices along one axis: the tensor is seen as [outer, axis, inner].
#include "core/cuda/cuda_backend.h"

namespace lamina {
namespace {

using cuda::Stream;

// Where each element of the part [outer, count, inner] lies in the whole.
struct Place {
  Place(const Tensor& tensor, const Slice& slice)
      : whole(tensor.shape()[slice.axis]),
        count(slice.count),
        inner(tensor.shape().elements(slice.axis + 1, tensor.rank())),
        start(slice.start),
        step(slice.step) {}

  LAMINA_HD std::int64_t operator()(std::int64_t i) const {
    const std::int64_t block = i / inner, outer = block / count;
    return (outer * whole + start + (block - outer * count) * step) * inner + (i - block * inner);
  }

  std::int64_t whole;  // extents
  math::Divisor count, inner;
  std::int64_t start, step;
};

template <typename Word>
void read_kernel(Stream stream, const Tensor& x, const Place& place, Tensor& out) {
  const Word* from = reinterpret_cast<const Word*>(x.raw());
  Word* to = reinterpret_cast<Word*>(out.raw());
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) { to[i] = from[place(i)]; });
}

template <typename Word>
void write_kernel(Stream stream, const Tensor& x, const Place& place, Tensor& out) {
  const Word* from = reinterpret_cast<const Word*>(x.raw());
  Word* to = reinterpret_cast<Word*>(out.raw());
  cuda::for_each(stream, x.elements(), [=] LAMINA_DEVICE(std::int64_t i) { to[place(i)] = from[i]; });
}

}  // namespace

void CudaBackend::read_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  visit_word(x.dtype(), [&](auto word) { read_kernel<decltype(word)>(stream(), x, Place(x, slice), out); });
}

void CudaBackend::write_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  visit_word(x.dtype(),
             [&](auto word) { write_kernel<decltype(word)>(stream(), x, Place(out, slice), out); });
}

}  // namespace lamina
