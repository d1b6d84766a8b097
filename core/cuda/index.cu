// Looking up along an axis, the sums that are its gradient, and where the largest elements are.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/walk.h"

namespace lamina {
namespace {

using cuda::Stream;

// The index at [outer, k, inner] of a tensor [K], the same for every outer and inner, or of one of all three.
struct IndexTable {
  IndexTable(const Tensor& index, const AroundAxis& result)
      : values(index.data<std::int32_t>()),
        shared(index.rank() == 1),
        extent(result.extent),
        inner(result.inner) {}

  LAMINA_HD std::int64_t at(std::int64_t outer, std::int64_t k, std::int64_t i) const {
    return values[shared ? k : (outer * extent + k) * inner + i];
  }

  const std::int32_t* values;
  bool shared;
  std::int64_t extent, inner;
};

template <typename Word>
void look_up_kernel(Stream stream, const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  const AroundAxis from(x.shape(), axis), to(out.shape(), axis);
  const math::Divisor extent = to.extent, inner = to.inner;
  const IndexTable table(index, to);
  const Word* source = reinterpret_cast<const Word*>(x.raw());
  Word* result = reinterpret_cast<Word*>(out.raw());
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t e) {
    const std::int64_t row = e / inner, i = e - row * inner, o = row / extent;
    const std::int64_t k = table.at(o, row - o * extent, i);
    const bool inside = k >= 0 && k < from.extent;
    result[e] = inside ? source[(o * from.extent + k) * from.inner + i] : static_cast<Word>(~Word{});
  });
}

// A thread has a column of one outer index to itself, and adds in the order of k.
template <typename T>
void scatter_add_kernel(Stream stream, const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  const AroundAxis from(x.shape(), axis), to(out.shape(), axis);
  const math::Divisor inner = to.inner;
  const IndexTable table(index, from);
  const T* terms = x.data<T>();
  T* sums = out.data<T>();
  cuda::for_each(stream, to.outer * to.inner, [=] LAMINA_DEVICE(std::int64_t column) {
    const std::int64_t o = column / inner, i = column - o * inner;
    T* sum = sums + o * to.extent * to.inner + i;
    for (std::int64_t row = 0; row < to.extent; ++row) sum[row * to.inner] = static_cast<T>(0.0f);
    for (std::int64_t k = 0; k < from.extent; ++k) {
      const std::int64_t row = table.at(o, k, i);
      if (row < 0 || row >= to.extent) continue;
      const auto term = static_cast<float>(terms[(o * from.extent + k) * from.inner + i]);
      sum[row * to.inner] = static_cast<T>(static_cast<float>(sum[row * to.inner]) + term);
    }
  });
}

// A team looks for the first of a row, then for the first after that one, and so on.
template <typename T>
void top_k_kernel(Stream stream, const Tensor& x, Tensor& indices) {
  const std::int64_t columns = x.size(1), k = indices.size(1);
  const T* values = x.data<T>();
  std::int32_t* found = indices.data<std::int32_t>();
  cuda::for_each_row(stream, x.size(0), [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t row) {
    const T* own = values + row * columns;
    math::First<float> last;
    for (std::int64_t place = 0; place < k; ++place) {
      math::First<float> next;
      for (std::int64_t c = team.lane; c < columns; c += cuda::Team::size) {
        const auto value = static_cast<float>(own[c]);
        if (place == 0 || math::comes_before(last.value, last.at, value, c)) next.offer(value, c);
      }
      last = team.first(next);
      if (team.lane == 0) found[row * k + place] = static_cast<std::int32_t>(last.at);
    }
  });
}

}  // namespace

void CudaBackend::gather(const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  visit_word(x.dtype(), [&](auto word) { look_up_kernel<decltype(word)>(stream(), x, axis, index, out); });
}

void CudaBackend::scatter_add(const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  cuda::visit_floating(x.dtype(), "scatter_add",
                       [&](auto zero) { scatter_add_kernel<decltype(zero)>(stream(), x, axis, index, out); });
}

void CudaBackend::top_k(const Tensor& x, Tensor& indices) {
  cuda::visit_floating(x.dtype(), "top_k",
                       [&](auto zero) { top_k_kernel<decltype(zero)>(stream(), x, indices); });
}

}  // namespace lamina
