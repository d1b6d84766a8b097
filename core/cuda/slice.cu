// Slices along one axis: the tensor is seen as [outer, axis, inner].
#include <cstdlib>

#include "core/cuda/cuda_backend.h"
#include "core/walk.h"

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

// The other way round: each element of the whole asks which of the part it is, if it is one.
template <typename Word>
void embed_kernel(Stream stream, const Tensor& x, const Slice& slice, Tensor& out) {
  const AroundAxis around(out.shape(), slice.axis);
  const math::Divisor whole = around.extent, inner = around.inner, step = std::abs(slice.step);
  const std::int64_t start = slice.start, count = slice.count;
  const bool falls = slice.step < 0;
  const Word* from = reinterpret_cast<const Word*>(x.raw());
  Word* to = reinterpret_cast<Word*>(out.raw());
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t block = i / inner, outer = block / whole, place = block - outer * whole;
    const std::int64_t distance = falls ? start - place : place - start, k = distance / step;
    const bool is_part = distance >= 0 && k < count && k * step == distance;
    to[i] = is_part ? from[(outer * count + k) * inner + (i - block * inner)] : Word{};
  });
}

}  // namespace

void CudaBackend::read_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  visit_word(x.dtype(), [&](auto word) { read_kernel<decltype(word)>(stream(), x, Place(x, slice), out); });
}

void CudaBackend::write_slice(const Tensor& x, const Slice& slice, Tensor& out) {
  visit_word(x.dtype(),
             [&](auto word) { write_kernel<decltype(word)>(stream(), x, Place(out, slice), out); });
}

void CudaBackend::embed(const Tensor& x, const Slice& slice, Tensor& out) {
  visit_word(x.dtype(), [&](auto word) { embed_kernel<decltype(word)>(stream(), x, slice, out); });
}

}  // namespace lamina
