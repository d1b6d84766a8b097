#include "analysis/vectors.h"

#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/random.h"
#include "data/file.h"

namespace lamina::analysis {
namespace {

constexpr std::int64_t chunk = 1 << 14;  // elements of one thread's turn; sums are combined in their order

void check_alike(const char* operation, const Tensor& x, const Tensor& y) {
  check(x.rank() == 1 && x.shape() == y.shape() && x.dtype() == y.dtype() && x.device() == Device{} &&
            y.device() == Device{},
        "{}: {} and {}; expected two vectors of one length and dtype on the CPU", operation, x, y);
}

// body(T*) with the element type of vectors of x's dtype.
template <typename Body>
auto with_type(const Tensor& x, const Body& body) {
  return x.dtype() == DType::f64 ? body(static_cast<double*>(nullptr)) : body(static_cast<float*>(nullptr));
}

// body(begin, end) over chunks of [0, n), on all threads.
template <typename Body>
void for_each_chunk(std::int64_t n, const Body& body) {
  data::for_each_index(ceil_div(n, chunk), threads(),
                       [&](std::int64_t c) { body(c * chunk, std::min(n, (c + 1) * chunk)); });
}

template <typename T>
double dot_within(const T* x, const T* y, std::int64_t begin, std::int64_t end) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = begin; i < end; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return sum;
}

template <typename T>
void add_within(T* y, double a, const T* x, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i)
    y[i] = static_cast<T>(static_cast<double>(y[i]) + a * static_cast<double>(x[i]));
}

// qᵢ·x for all i, in one pass over x.
std::vector<double> dots(const Tensor& x, std::span<const Tensor> q) {
  const std::int64_t chunks = ceil_div(x.elements(), chunk);
  std::vector<double> partial(q.size() * static_cast<std::size_t>(chunks));
  with_type(x, [&]<typename T>(T*) {
    for_each_chunk(x.elements(), [&](std::int64_t begin, std::int64_t end) {
      double* sums = partial.data() + static_cast<std::size_t>(begin / chunk) * q.size();
      for (std::size_t i = 0; i < q.size(); ++i)
        sums[i] = dot_within(q[i].data<T>(), x.data<T>(), begin, end);
    });
  });
  std::vector<double> sums(q.size());
  for (std::size_t at = 0; at < partial.size(); ++at) sums[at % q.size()] += partial[at];
  return sums;
}

void add_combination(const Tensor& y, std::span<const Tensor> q, std::span<const double> a, double sign) {
  with_type(y, [&]<typename T>(T*) {
    for_each_chunk(y.elements(), [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < q.size(); ++i)
        add_within(y.data<T>(), sign * a[i], q[i].data<T>(), begin, end);
    });
  });
  y.bump_version();
}

}  // namespace

double inner_product(const Tensor& x, const Tensor& y) {
  check_alike("inner product", x, y);
  return dots(x, std::span(&y, 1)).front();
}

double length(const Tensor& x) { return std::sqrt(inner_product(x, x)); }

void scale(const Tensor& x, double a) {
  with_type(x, [&]<typename T>(T*) {
    for_each_chunk(x.elements(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) x.data<T>()[i] = static_cast<T>(x.data<T>()[i] * a);
    });
  });
  x.bump_version();
}

void add_scaled(const Tensor& y, double a, const Tensor& x) {
  check_alike("add_scaled", y, x);
  add_combination(y, std::span(&x, 1), std::span(&a, 1), 1);
}

void multiply_by_magnitude(const Tensor& x, const Tensor& w) {
  check_alike("multiply_by_magnitude", x, w);
  with_type(x, [&]<typename T>(T*) {
    for_each_chunk(x.elements(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) x.data<T>()[i] *= std::abs(w.data<T>()[i]);
    });
  });
  x.bump_version();
}

void remove_components(const Tensor& x, std::span<const Tensor> q) {
  if (q.empty()) return;
  check_alike("remove_components", x, q.front());
  for (int pass = 0; pass < 2; ++pass) add_combination(x, q, dots(x, q), -1);
}

Tensor combine(std::span<const Tensor> q, std::span<const double> a) {
  check(!q.empty() && a.size() == q.size(), "combine: {} vectors and {} numbers; expected as many, and some",
        q.size(), a.size());
  const Tensor sum = Tensor::zeros_like(q.front());
  add_combination(sum, q, a, 1);
  return sum;
}

Tensor random_signs(std::int64_t n, DType dtype, std::uint64_t seed, std::uint32_t draw) {
  const Tensor signs = Tensor::rand({n}, {.dtype = dtype, .seed = seed, .draw = draw});
  with_type(signs, [&]<typename T>(T*) {
    for (std::int64_t i = 0; i < n; ++i) signs.data<T>()[i] = signs.data<T>()[i] < T(0.5) ? T(-1) : T(1);
  });
  return signs;
}

}  // namespace lamina::analysis
