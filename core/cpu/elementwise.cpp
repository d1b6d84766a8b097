// Kernels in which every output element depends on one element of each input.
#include <algorithm>
#include <limits>
#include <variant>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/cpu_backend.h"
#include "core/math/convert.h"
#include "core/parallel_for.h"
#include "core/walk.h"

namespace lamina {
namespace {

constexpr std::int64_t elements_at_once = 16384;  // elements: a few pages per operand, well inside L2

// body(i) for each i < n. An output may be the same memory as an input: `simd` states that no iteration
// depends on another one.
template <typename Body>
void for_each_element(std::int64_t n, const Body& body) {
  parallel_for(n, elements_at_once, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

template <typename F>
void visit_dtype(DType dtype, std::string_view operation, F&& f) {
  if (dtype == DType::u8) return f(std::uint8_t{});
  if (dtype == DType::i32) return f(std::int32_t{});
  if (dtype == DType::bf16) return f(Bf16{});
  visit_floating(dtype, operation, std::forward<F>(f));
}

// visit(function, "unary", x, [&](const auto& f, auto zero) { using T = decltype(zero); … })
template <typename Function, typename F>
void visit(const Function& function, const char* operation, const Tensor& x, const F& body) {
  std::visit([&](const auto& f) { visit_floating(x.dtype(), operation, [&](auto zero) { body(f, zero); }); },
             function);
}

// out[i] = f(a[i * a_stride], b[i * b_stride]) with strides 0 or 1.
template <typename T, typename F>
void binary_run(const F& f, const T* a, bool a_moves, const T* b, bool b_moves, T* out, std::int64_t n) {
  if (a_moves && b_moves) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = f.f(a[i], b[i]);
  } else if (a_moves) {
    const T right = *b;
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = f.f(a[i], right);
  } else if (b_moves) {
    const T left = *a;
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = f.f(left, b[i]);
  } else {
    std::fill_n(out, n, f.f(*a, *b));
  }
}

}  // namespace

void CpuBackend::fill(Tensor& out, double value) {
  visit_dtype(out.dtype(), "fill", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.data<T>();
    const T element = math::convert<T>(value);
    for_each_element(out.elements(), [=](std::int64_t i) { to[i] = element; });
  });
}

void CpuBackend::cast(const Tensor& x, Tensor& out) {
  visit_dtype(x.dtype(), "cast", [&](auto from_zero) {
    visit_dtype(out.dtype(), "cast", [&](auto to_zero) {
      using To = decltype(to_zero);
      const auto* from = x.data<decltype(from_zero)>();
      To* to = out.data<To>();
      for_each_element(out.elements(), [=](std::int64_t i) { to[i] = math::convert<To>(from[i]); });
    });
  });
}

void CpuBackend::unary(const math::Unary& function, const Tensor& x, Tensor& y) {
  visit(function, "unary", x, [&](const auto& f, auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.data<T>();
    for_each_element(y.elements(), [=](std::int64_t i) { to[i] = f.f(from[i]); });
  });
}

void CpuBackend::unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                            Tensor& out) {
  visit(function, "unary_grad", saved, [&](const auto& f, auto zero) {
    using T = decltype(zero);
    const T *s = saved.data<T>(), *g = grad.data<T>();
    T* to = out.data<T>();
    for_each_element(out.elements(), [=](std::int64_t i) { to[i] = g[i] * f.df(s[i]); });
  });
}

void CpuBackend::unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                                 Tensor& out) {
  visit(function, "unary_grad_grad", saved, [&](const auto& f, auto zero) {
    using T = decltype(zero);
    const T *s = saved.data<T>(), *g = grad.data<T>();
    T* to = out.data<T>();
    for_each_element(out.elements(), [=](std::int64_t i) { to[i] = g[i] * f.ddf(s[i]); });
  });
}

void CpuBackend::binary(const math::Binary& function, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<2>(out.shape(), {&a.shape(), &b.shape()});
  const std::int64_t a_moves = walk.axes[0].stride[0], b_moves = walk.axes[0].stride[1];
  visit(function, "binary", out, [&](const auto& f, auto zero) {
    using T = decltype(zero);
    const T *left = a.data<T>(), *right = b.data<T>();
    T* to = out.data<T>();
    parallel_for(out.elements(), elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      std::int64_t row = begin / walk.inner(), column = begin % walk.inner();
      for (std::int64_t i = begin; i < end; ++row, column = 0) {
        const std::int64_t n = std::min(walk.inner() - column, end - i);
        const auto [a_row, b_row] = walk.row(row);
        binary_run(f, left + a_row + a_moves * column, a_moves != 0, right + b_row + b_moves * column,
                   b_moves != 0, to + i, n);
        i += n;
      }
    });
  });
}

void CpuBackend::where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<3>(out.shape(), {&condition.shape(), &a.shape(), &b.shape()});
  const auto step = walk.axes[0].stride;
  visit_floating(out.dtype(), "where", [&](auto zero) {
    using T = decltype(zero);
    const T *holds = condition.data<T>(), *left = a.data<T>(), *right = b.data<T>();
    T* to = out.data<T>();
    parallel_for(out.elements(), elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      std::int64_t row = begin / walk.inner(), column = begin % walk.inner();
      for (std::int64_t i = begin; i < end; ++row, column = 0) {
        const auto start = walk.row(row);
        for (; column < walk.inner() && i < end; ++column, ++i) {
          to[i] = holds[start[0] + step[0] * column] != T(0) ? left[start[1] + step[1] * column]
                                                             : right[start[2] + step[2] * column];
        }
      }
    });
  });
}

void CpuBackend::accumulate(const Tensor& x, Tensor& total) {
  visit_floating(x.dtype(), "accumulate", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = total.data<T>();
    for_each_element(total.elements(), [=](std::int64_t i) { to[i] += from[i]; });
  });
}

bool CpuBackend::all_finite(const Tensor& x) {
  if (!is_floating(x.dtype())) return true;
  return visit_floating(x.dtype(), "all_finite", [&](auto zero) {
    using T = decltype(zero);
    const T* values = x.data<T>();
    std::vector<unsigned char> bad(static_cast<std::size_t>(ceil_div(x.elements(), elements_at_once)));
    parallel_for(x.elements(), elements_at_once, [&](std::int64_t begin, std::int64_t end) {
      int found = 0;
      for (std::int64_t i = begin; i < end; ++i) {
        found |= static_cast<int>(!(std::abs(values[i]) <= std::numeric_limits<T>::max()));
      }
      bad[static_cast<std::size_t>(begin / elements_at_once)] = found != 0;
    });
    return std::find(bad.begin(), bad.end(), 1) == bad.end();
  });
}

}  // namespace lamina
