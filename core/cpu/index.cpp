// Looking up along an axis, the sums that are its gradient, and where the largest elements are.
#include <algorithm>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/cpu/cpu_backend.h"
#include "core/math/argmax.h"
#include "core/parallel_for.h"
#include "core/walk.h"

namespace lamina {
namespace {

constexpr std::int64_t indexed_at_once = 16384;  // elements

// The index at [outer, k, inner] of a tensor [K], the same for every outer and inner, or of one of all three.
class Index {
 public:
  Index(const char* operation, const Tensor& index, const AroundAxis& result, std::int64_t extent)
      : operation_(operation),
        values_(index.data<std::int32_t>()),
        shared_(index.rank() == 1),
        result_(result),
        extent_(extent) {}

  std::int64_t operator()(std::int64_t outer, std::int64_t k, std::int64_t inner) const {
    const std::int64_t at = shared_ ? k : (outer * result_.extent + k) * result_.inner + inner;
    const std::int64_t value = values_[at];
    check(value >= 0 && value < extent_, "{}: index {} at position {} is out of range; expected 0 to {}",
          operation_, value, at, extent_ - 1);
    return value;
  }

 private:
  const char* operation_;
  const std::int32_t* values_;
  bool shared_;
  AroundAxis result_;
  std::int64_t extent_;
};

}  // namespace

void CpuBackend::gather(const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  const AroundAxis from(x.shape(), axis), to(out.shape(), axis);
  const Index at("gather", index, to, from.extent);
  visit_word(x.dtype(), [&](auto word) {
    using Word = decltype(word);
    const Word* source = reinterpret_cast<const Word*>(x.raw());
    Word* result = reinterpret_cast<Word*>(out.raw());
    parallel_for(to.outer * to.extent, std::max<std::int64_t>(1, indexed_at_once / to.inner),
                 [&](std::int64_t row, std::int64_t end) {
                   for (; row < end; ++row) {
                     const std::int64_t o = row / to.extent, k = row % to.extent;
                     const Word* part = source + o * from.extent * from.inner;
                     if (index.rank() == 1) {  // all of the row comes from one place
                       std::copy_n(part + at(o, k, 0) * from.inner, to.inner, result + row * to.inner);
                       continue;
                     }
                     for (std::int64_t i = 0; i < to.inner; ++i)
                       result[row * to.inner + i] = part[at(o, k, i) * from.inner + i];
                   }
                 });
  });
}

// A thread has some neighbouring columns of one outer index to itself, and adds in the order of k.
void CpuBackend::scatter_add(const Tensor& x, int axis, const Tensor& index, Tensor& out) {
  const AroundAxis from(x.shape(), axis), to(out.shape(), axis);
  const Index at("scatter_add", index, from, to.extent);
  const std::int64_t width = std::min<std::int64_t>(to.inner, 64), blocks = ceil_div(to.inner, width);
  visit_floating(x.dtype(), "scatter_add", [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t work = width * std::max(from.extent, to.extent);
    parallel_for(to.outer * blocks,
                 std::max<std::int64_t>(1, indexed_at_once / std::max<std::int64_t>(1, work)),
                 [&](std::int64_t item, std::int64_t end) {
                   for (; item < end; ++item) {
                     const std::int64_t o = item / blocks, first = item % blocks * width;
                     const std::int64_t last = std::min(to.inner, first + width);
                     const T* terms = x.data<T>() + o * from.extent * from.inner;
                     T* sums = out.data<T>() + o * to.extent * to.inner;
                     for (std::int64_t row = 0; row < to.extent; ++row)
                       std::fill(sums + row * to.inner + first, sums + row * to.inner + last, T(0));
                     for (std::int64_t k = 0; k < from.extent; ++k)
                       for (std::int64_t i = first; i < last; ++i)
                         sums[at(o, k, i) * to.inner + i] += terms[k * from.inner + i];
                   }
                 });
  });
}

void CpuBackend::top_k(const Tensor& x, Tensor& indices) {
  const std::int64_t columns = x.size(1), k = indices.size(1);
  visit_floating(x.dtype(), "top_k", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(
        x.size(0), std::max<std::int64_t>(1, indexed_at_once / columns),
        [&] { return std::vector<std::int32_t>(static_cast<std::size_t>(columns)); },
        [&](std::int64_t row, std::int64_t end, std::vector<std::int32_t>& order) {
          for (; row < end; ++row) {
            const T* values = x.data<T>() + row * columns;
            std::iota(order.begin(), order.end(), 0);
            std::partial_sort(order.begin(), order.begin() + k, order.end(),
                              [values](std::int32_t a, std::int32_t b) {
                                return math::comes_before(values[a], a, values[b], b);
                              });
            std::copy_n(order.begin(), k, indices.data<std::int32_t>() + row * k);
          }
        });
  });
}

}  // namespace lamina
