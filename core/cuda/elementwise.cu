// Kernels in which every output element depends on one element of each input.
#include <algorithm>
#include <limits>
#include <type_traits>
#include <variant>

#include "core/cuda/alignment.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/many_tensors.h"
#include "core/cuda/pack.h"
#include "core/cuda/sums.h"
#include "core/math/convert.h"
#include "core/walk.h"

namespace lamina {
namespace {

using cuda::Stream;

template <typename F>
void visit_dtype(DType dtype, std::string_view operation, F&& f) {
  if (dtype == DType::u8) return f(std::uint8_t{});
  if (dtype == DType::i32) return f(std::int32_t{});
  cuda::visit_floating(dtype, operation, std::forward<F>(f));
}

template <typename T, int width>
void fill_kernel(Stream stream, T element, Tensor& out) {
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    cuda::Pack<T, width> elements;
    for (int k = 0; k < width; ++k) elements.value[k] = element;
    cuda::store(elements, to, i);
  });
}

// Between floating types and integers.
template <typename From, typename To>
void convert_kernel(Stream stream, const Tensor& x, Tensor& out) {
  const From* from = x.data<From>();
  To* to = out.data<To>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const From element = from[i];
    return [=] { to[i] = math::convert<To>(element); };
  });
}

// out = f(x), computed in float.
template <int width, typename F, typename From, typename To>
void map_kernel(Stream stream, const F& f, const From* x, To* out, std::int64_t elements) {
  cuda::for_each(stream, elements / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const cuda::Pack<From, width> loaded = cuda::load<width>(x, i);
    return [=] {
      cuda::Pack<float, width> values = cuda::widened(loaded);
      for (int k = 0; k < width; ++k) values.value[k] = f.f(values.value[k]);
      cuda::store(cuda::rounded<To>(values), out, i);
    };
  });
}

// out = f(a, b), all of as many elements; out may be a or b.
template <int width, typename F, typename T>
void map_kernel(Stream stream, const F& f, const T* a, const T* b, T* out, std::int64_t elements) {
  cuda::for_each(stream, elements / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const cuda::Pack<T, width> left = cuda::load<width>(a, i), right = cuda::load<width>(b, i);
    return [=] {
      const auto x = cuda::widened(left), y = cuda::widened(right);
      cuda::Pack<float, width> values;
      for (int k = 0; k < width; ++k) values.value[k] = f.f(x.value[k], y.value[k]);
      cuda::store(cuda::rounded<T>(values), out, i);
    };
  });
}

struct Same {
  LAMINA_HD float f(float x) const { return x; }
};
template <typename F>
struct TimesDerivative {
  LAMINA_HD float f(float s, float grad) const { return grad * function.df(s); }
  F function;
};
template <typename F>
struct TimesSecondDerivative {
  LAMINA_HD float f(float s, float grad) const { return grad * function.ddf(s); }
  F function;
};

template <typename From, typename To>
void cast_kernel(Stream stream, const Tensor& x, Tensor& out) {
  if constexpr (std::is_integral_v<From> || std::is_integral_v<To>) {
    convert_kernel<From, To>(stream, x, out);
  } else {
    using Narrower = std::conditional_t<sizeof(From) < sizeof(To), From, To>;
    cuda::visit_width<Narrower>(x.elements(), {x.raw(), out.raw()}, [&](auto width) {
      map_kernel<width()>(stream, Same{}, x.data<From>(), out.data<To>(), x.elements());
    });
  }
}

// With broadcasting.
template <typename F, typename T>
void walk_kernel(Stream stream, const F& f, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<2>(out.shape(), {&a.shape(), &b.shape()});
  const T *left = a.data<T>(), *right = b.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t column = i % walk.inner();
    const auto start = walk.row(i / walk.inner());
    const auto& step = walk.axes[0].stride;
    const T x = left[start[0] + step[0] * column], y = right[start[1] + step[1] * column];
    return [=] { to[i] = static_cast<T>(f.f(static_cast<float>(x), static_cast<float>(y))); };
  });
}

template <typename F, typename T>
void binary_kernel(Stream stream, const F& f, const Tensor& a, const Tensor& b, Tensor& out) {
  constexpr int width = 16 / static_cast<int>(sizeof(T));
  const bool equal = a.elements() == out.elements() && b.elements() == out.elements();
  if (!equal || out.elements() % width != 0 || cuda::common_alignment({a.raw(), b.raw(), out.raw()}, 16) < 16)
    return walk_kernel<F, T>(stream, f, a, b, out);
  map_kernel<width>(stream, f, a.data<T>(), b.data<T>(), out.data<T>(), out.elements());
}

template <typename T>
void where_kernel(Stream stream, const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<3>(out.shape(), {&condition.shape(), &a.shape(), &b.shape()});
  const T *holds = condition.data<T>(), *left = a.data<T>(), *right = b.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t column = i % walk.inner();
    const auto start = walk.row(i / walk.inner());
    const auto& step = walk.axes[0].stride;
    to[i] = static_cast<float>(holds[start[0] + step[0] * column]) != 0.0f
                ? left[start[1] + step[1] * column]
                : right[start[2] + step[2] * column];
  });
}

// Totals are f32, what is added to them f32 or bf16.
void add_many(Stream stream, const cuda::ManyTensors& sums) {
  constexpr int width = cuda::ManyTensors::width;
  cuda::for_each<2>(stream, sums.threads(), [=] LAMINA_DEVICE(std::int64_t thread) {
    const cuda::PartOfMany part(sums, thread);
    cuda::Pack<Bf16, width> halves{};
    cuda::Pack<float, width> floats{};
    if (part.narrow) halves = part.load_from<Bf16>(part.from);
    if (!part.narrow) floats = part.load_from<float>(part.from);
    const auto before = part.load_from<float>(part.to);
    return [=] {
      const cuda::Pack<float, width> more = part.narrow ? cuda::widened(halves) : floats;
      cuda::Pack<float, width> sum = before;
      for (int k = 0; k < width; ++k) sum.value[k] += more.value[k];
      part.store(sum);
    };
  });
}

void round_many(Stream stream, const cuda::ManyTensors& casts) {  // f32 to bf16
  cuda::for_each(stream, casts.threads(), [=] LAMINA_DEVICE(std::int64_t thread) {
    const cuda::PartOfMany part(casts, thread);
    const auto values = part.load_from<float>(part.from);
    return [=] { part.store(cuda::rounded<Bf16>(values)); };
  });
}

bool are_aligned(const Tensor& a, const Tensor& b) {
  return cuda::common_alignment({a.raw(), b.raw()}, 16) == 16;
}

template <typename T>
void count_not_finite(Stream stream, Allocator& allocator, const Tensor& x, double* count) {
  const T* values = x.data<T>();
  cuda::sum_middle<1, 1, cuda::elements_in_turn>(
      stream, allocator, {1, x.elements(), 1},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t) {
        return [=](std::int64_t i) {
          const T element = values[i];
          return [=] {
            const auto value = static_cast<float>(element);
            const bool finite =
                value >= -std::numeric_limits<float>::max() && value <= std::numeric_limits<float>::max();
            return cuda::Sums<1, float>{{finite ? 0.0f : 1.0f}};
          };
        };
      },
      [=] LAMINA_DEVICE(std::int64_t, const cuda::Sums<1>& sums) { *count = sums.value[0]; });
}

}  // namespace

void CudaBackend::fill(Tensor& out, double value) {
  visit_dtype(out.dtype(), "fill", [&](auto zero) {
    using T = decltype(zero);
    cuda::visit_width<T>(out.elements(), {out.raw()}, [&](auto width) {
      fill_kernel<T, width()>(stream(), math::convert<T>(value), out);
    });
  });
}

void CudaBackend::cast(const Tensor& x, Tensor& out) {
  visit_dtype(x.dtype(), "cast", [&](auto from) {
    visit_dtype(out.dtype(), "cast",
                [&](auto to) { cast_kernel<decltype(from), decltype(to)>(stream(), x, out); });
  });
}

void CudaBackend::unary(const math::Unary& function, const Tensor& x, Tensor& y) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(x.dtype(), F::name, [&](auto zero) {
          using T = decltype(zero);
          map_kernel<1>(stream(), f, x.data<T>(), y.data<T>(), y.elements());
        });
      },
      function);
}

void CudaBackend::unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                             Tensor& out) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(saved.dtype(), F::name, [&](auto zero) {
          using T = decltype(zero);
          map_kernel<1>(stream(), TimesDerivative<F>{f}, saved.data<T>(), grad.data<T>(), out.data<T>(),
                        out.elements());
        });
      },
      function);
}

void CudaBackend::unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                                  Tensor& out) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(saved.dtype(), F::name, [&](auto zero) {
          using T = decltype(zero);
          map_kernel<1>(stream(), TimesSecondDerivative<F>{f}, saved.data<T>(), grad.data<T>(), out.data<T>(),
                        out.elements());
        });
      },
      function);
}

void CudaBackend::binary(const math::Binary& function, const Tensor& a, const Tensor& b, Tensor& out) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(out.dtype(), F::name,
                             [&](auto zero) { binary_kernel<F, decltype(zero)>(stream(), f, a, b, out); });
      },
      function);
}

void CudaBackend::where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  cuda::visit_floating(out.dtype(), "where",
                       [&](auto zero) { where_kernel<decltype(zero)>(stream(), condition, a, b, out); });
}

void CudaBackend::accumulate(const Tensor& x, Tensor& total) {
  cuda::visit_floating(x.dtype(), "accumulate", [&](auto zero) {
    using T = decltype(zero);
    cuda::visit_width<T>(x.elements(), {x.raw(), total.raw()}, [&](auto width) {
      map_kernel<width()>(stream(), math::Add{}, total.data<T>(), x.data<T>(), total.data<T>(), x.elements());
    });
  });
}

void CudaBackend::accumulate_all(std::span<const Accumulation> sums) {
  cuda::ManyTensors many{};
  const auto start = [&] {
    if (many.count > 0) add_many(stream(), many);
    many = {};
  };
  // Nothing may be added to a total that is there already: the order of threads is not known.
  const auto has_room = [&](const Tensor& total) {
    return many.count < many.most && std::none_of(many.one, many.one + many.count,
                                                  [&](const auto& sum) { return sum.to == total.raw(); });
  };
  for (const auto& [x, total] : sums) {
    if (total.dtype() == DType::f32 && (x.dtype() == DType::f32 || x.dtype() == DType::bf16) &&
        are_aligned(x, total)) {
      if (!has_room(total)) start();
      many.add(x, total);
    } else {
      start();
      Tensor own = total, same = x;
      if (x.dtype() != total.dtype()) cast(x, same = Tensor::empty(x.shape(), total.options()));
      accumulate(same, own);
    }
  }
  start();
}

void CudaBackend::cast_all(std::span<const Cast> casts) {
  cuda::ManyTensors many{};
  const auto start = [&] {
    if (many.count > 0) round_many(stream(), many);
    many = {};
  };
  for (const auto& [x, out] : casts) {
    if (x.dtype() == DType::f32 && out.dtype() == DType::bf16 && are_aligned(x, out)) {
      if (many.count == many.most) start();
      many.add(x, out);
    } else {
      Tensor own = out;
      cast(x, own);
    }
  }
  start();
}

bool CudaBackend::all_finite(const Tensor& x) {
  if (!is_floating(x.dtype()) || x.elements() == 0) return true;
  const Tensor count = Tensor::empty({1}, {DType::f64, x.device()});
  cuda::visit_floating(x.dtype(), "all_finite", [&](auto zero) {
    count_not_finite<decltype(zero)>(stream(), allocator(), x, count.data<double>());
  });
  double found = 0;
  copy_to_host(count, &found);
  return found == 0;
}

}  // namespace lamina
