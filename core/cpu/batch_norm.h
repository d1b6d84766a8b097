// Sums over the rows of rows × channels, and loops over their elements.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/base/rounding.h"
#include "core/math/batch_norm.h"
#include "core/math/unary.h"
#include "core/memory/scratch.h"
#include "core/parallel_for.h"

namespace lamina::cpu::batch_norm {

// Rows are cut into chunks of about this many elements: small beside the cache, large beside the 2C sums that
// each chunk leaves.
inline constexpr std::int64_t chunk_elements = 32768;

struct Rows {
  explicit Rows(const Tensor& x)
      : channels(x.shape().back()),
        count(channels > 0 ? x.elements() / channels : 0),
        chunk(std::max<std::int64_t>(1, chunk_elements / std::max<std::int64_t>(1, channels))) {}

  std::int64_t channels, count, chunk;
};

template <typename T>
T tree_sum(T a, T b, T c, T d, T e, T f, T g, T h) {
  return ((a + b) + (c + d)) + ((e + f) + (g + h));
}

// sums[0][c] += value, sums[1 …][c] += value * factor for each of the factors, over the rows [begin, end),
// for value(i, c) and factor(i, c) of element i in channel c. Eight rows are summed as a tree in T, and their
// sum is added in f64: T's rounding does not grow with the number of rows, and the sums are loaded and stored
// once for eight rows.
template <typename Value, typename... Factors>
void add_rows(std::int64_t begin, std::int64_t end, std::int64_t channels, double* sums, const Value& value,
              const Factors&... factors) {
  std::int64_t row = begin * channels;
  const std::int64_t stop = end * channels, n = channels;
  for (; row + 8 * n <= stop; row += 8 * n) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t i = row + c;
      const auto v0 = value(i, c), v1 = value(i + n, c), v2 = value(i + 2 * n, c), v3 = value(i + 3 * n, c),
                 v4 = value(i + 4 * n, c), v5 = value(i + 5 * n, c), v6 = value(i + 6 * n, c),
                 v7 = value(i + 7 * n, c);
      sums[c] += static_cast<double>(tree_sum(v0, v1, v2, v3, v4, v5, v6, v7));
      std::int64_t k = 0;
      ((sums[++k * n + c] += static_cast<double>(
            tree_sum(v0 * factors(i, c), v1 * factors(i + n, c), v2 * factors(i + 2 * n, c),
                     v3 * factors(i + 3 * n, c), v4 * factors(i + 4 * n, c), v5 * factors(i + 5 * n, c),
                     v6 * factors(i + 6 * n, c), v7 * factors(i + 7 * n, c)))),
       ...);
    }
  }
  for (; row < stop; row += n) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto v = value(row + c, c);
      sums[c] += static_cast<double>(v);
      std::int64_t k = 0;
      ((sums[++k * n + c] += static_cast<double>(v * factors(row + c, c))), ...);
    }
  }
}

// The sums of value and of value * factor over all rows: [C] of the one, then [C] of each other. Chunks are
// added in order.
template <typename Value, typename... Factors>
std::vector<double> sum_rows(const Rows& rows, const Value& value, const Factors&... factors) {
  const std::int64_t width = (1 + static_cast<std::int64_t>(sizeof...(factors))) * rows.channels;
  const std::int64_t chunks = ceil_div(rows.count, rows.chunk);
  const Scratch<double> partial(cpu_backend().allocator(), chunks * width);
  parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    double* sums = partial.data() + begin / rows.chunk * width;
    std::fill_n(sums, width, 0.0);
    add_rows(begin, end, rows.channels, sums, value, factors...);
  });
  std::vector<double> total(static_cast<std::size_t>(width));
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    std::transform(total.begin(), total.end(), partial.data() + chunk * width, total.begin(), std::plus<>());
  }
  return total;
}

// Sums over the rows of one process or of all that share the batch, and how many rows these are.
struct Totals {
  std::vector<double> sums;
  double rows = 0;
};

inline Totals totals_of(std::vector<double> sums, const Rows& rows, const BatchNormOptions& options) {
  sums.push_back(static_cast<double>(rows.count));
  if (options.training && options.sum_over_ranks) options.sum_over_ranks(sums);
  const double count = sums.back();
  sums.pop_back();
  return {.sums = std::move(sums), .rows = count};
}

// body(i, c) for every element i, in channel c. The rows come last to first: the reducing pass before has
// left the last ones in the cache, and the op that follows will begin with the first.
template <typename Body>
void for_each_element(const Rows& rows, const Body& body) {
  parallel_for(rows.count, rows.chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = rows.count - end; row < rows.count - begin; ++row) {
      const std::int64_t first = row * rows.channels;
#pragma omp simd
      for (std::int64_t c = 0; c < rows.channels; ++c) body(first + c, c);
    }
  });
}

template <typename T>
std::vector<T> scale_of(const Tensor& weight, const Tensor& inv_std) {
  std::vector<T> scale(static_cast<std::size_t>(weight.elements()));
  std::transform(weight.data<T>(), weight.data<T>() + scale.size(), inv_std.data<T>(), scale.begin(),
                 [](T w, T s) { return s * w; });
  return scale;
}

enum class Mask { none, from_y, from_x };

// The derivative of the ReLU at element i in channel c. Its sign is that of y, or of what x is normalised to.
template <typename T, Mask mask>
struct ReluMask {
  T operator()(std::int64_t i, std::int64_t c) const {
    if constexpr (mask == Mask::from_y) return math::Relu{}.df(y[i]);
    if constexpr (mask == Mask::from_x)
      return math::Relu{}.df(math::Relu{}.f(math::normalise(x[i], mean[c], scale[c], bias[c])));
    return T(1);
  }

  const T *y, *x, *mean, *scale, *bias;
};

}  // namespace lamina::cpu::batch_norm
