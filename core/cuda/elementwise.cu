// Kernels in which every output element depends on one element of each input.
#include <algorithm>
#include <limits>
#include <variant>

#include "core/cuda/alignment.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/pack.h"
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

template <typename T>
void fill_kernel(Stream stream, T element, Tensor& out) {
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) { to[i] = element; });
}

template <typename From, typename To>
void cast_kernel(Stream stream, const Tensor& x, Tensor& out) {
  const From* from = x.data<From>();
  To* to = out.data<To>();
  cuda::for_each(stream, out.elements(),
                 [=] LAMINA_DEVICE(std::int64_t i) { to[i] = math::convert<To>(from[i]); });
}

template <typename F, typename T>
void unary_kernel(Stream stream, const F& f, const Tensor& x, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  cuda::for_each(stream, y.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    to[i] = static_cast<T>(f.f(static_cast<float>(from[i])));
  });
}

template <typename F, typename T>
void unary_grad_kernel(Stream stream, const F& f, const Tensor& saved, const Tensor& grad, Tensor& out) {
  const T *s = saved.data<T>(), *g = grad.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    to[i] = static_cast<T>(static_cast<float>(g[i]) * f.df(static_cast<float>(s[i])));
  });
}

template <typename F, typename T>
void unary_grad_grad_kernel(Stream stream, const F& f, const Tensor& saved, const Tensor& grad, Tensor& out) {
  const T *s = saved.data<T>(), *g = grad.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    to[i] = static_cast<T>(static_cast<float>(g[i]) * f.ddf(static_cast<float>(s[i])));
  });
}

template <typename F, typename T>
void binary_kernel(Stream stream, const F& f, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<2>(out.shape(), {&a.shape(), &b.shape()});
  const std::int64_t inner = walk.inner(), a_step = walk.axes[0].stride[0], b_step = walk.axes[0].stride[1];
  const T *left = a.data<T>(), *right = b.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t row = i / inner, column = i - row * inner;
    const auto start = walk.row(row);
    to[i] = static_cast<T>(f.f(static_cast<float>(left[start[0] + a_step * column]),
                               static_cast<float>(right[start[1] + b_step * column])));
  });
}

template <typename T>
void where_kernel(Stream stream, const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto walk = walk_of<3>(out.shape(), {&condition.shape(), &a.shape(), &b.shape()});
  const T *holds = condition.data<T>(), *left = a.data<T>(), *right = b.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t row = i / walk.inner(), column = i - row * walk.inner();
    const auto start = walk.row(row);
    const auto& step = walk.axes[0].stride;
    to[i] = static_cast<float>(holds[start[0] + step[0] * column]) != 0.0f
                ? left[start[1] + step[1] * column]
                : right[start[2] + step[2] * column];
  });
}

template <typename T, int width>
void accumulate_kernel(Stream stream, const Tensor& x, Tensor& total) {
  const T* from = x.data<T>();
  T* to = total.data<T>();
  cuda::for_each(stream, total.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const cuda::Pack<T, width> more = cuda::load<width>(from, i);
    cuda::Pack<T, width> sum = cuda::load<width>(to, i);
    for (int k = 0; k < width; ++k)
      sum.value[k] = static_cast<T>(static_cast<float>(sum.value[k]) + static_cast<float>(more.value[k]));
    cuda::store(sum, to, i);
  });
}

// Many tensors to be added to as many f32 ones by one kernel, whose arguments hold them: 4 KB at most.
struct ManySums {
  static constexpr int most = 96, width = 4;  // elements of a thread
  struct One {
    const void* x;
    float* total;
    std::int64_t elements;
  };
  One one[most];
  bool narrow[most];             // x is bf16
  std::int64_t first[most + 1];  // in the order of all threads, the first that adds to it
  int count = 0;

  // Nothing may be added to a total that is there already: the order of threads is not known.
  bool has_room(const Tensor& total) const {
    return count < most &&
           std::none_of(one, one + count, [&](const One& sum) { return sum.total == total.data<float>(); });
  }
  void add(const Tensor& x, const Tensor& total) {
    one[count] = {x.raw(), total.data<float>(), total.elements()};
    narrow[count] = x.dtype() == DType::bf16;
    first[count + 1] = first[count] + ceil_div(total.elements(), width);
    ++count;
  }
  LAMINA_HD int holding(std::int64_t thread) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      thread < first[middle] ? high = middle - 1 : low = middle;
    }
    return low;
  }
};

template <typename T>
LAMINA_HD void add_up(const T* x, float* total, std::int64_t elements, std::int64_t pack) {
  constexpr int width = ManySums::width;
  if ((pack + 1) * width <= elements) {
    const cuda::Pack<T, width> more = cuda::load<width>(x, pack);
    cuda::Pack<float, width> sum = cuda::load<width>(total, pack);
    for (int k = 0; k < width; ++k) sum.value[k] += static_cast<float>(more.value[k]);
    cuda::store(sum, total, pack);
  } else {
    for (std::int64_t i = pack * width; i < elements; ++i) total[i] += static_cast<float>(x[i]);
  }
}

void add_many(Stream stream, const ManySums& sums) {
  cuda::for_each(stream, sums.first[sums.count], [=] LAMINA_DEVICE(std::int64_t thread) {
    const int k = sums.holding(thread);
    const ManySums::One& sum = sums.one[k];
    const std::int64_t pack = thread - sums.first[k];
    if (sums.narrow[k]) {
      add_up(static_cast<const Bf16*>(sum.x), sum.total, sum.elements, pack);
    } else {
      add_up(static_cast<const float*>(sum.x), sum.total, sum.elements, pack);
    }
  });
}

template <typename T>
void count_not_finite(Stream stream, Allocator& allocator, const Tensor& x, double* count) {
  const T* values = x.data<T>();
  cuda::sum_middle<1>(
      stream, allocator, {1, x.elements(), 1},
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t) {
        return [=](std::int64_t i) {
          const auto value = static_cast<float>(values[i]);
          const bool finite =
              value >= -std::numeric_limits<float>::max() && value <= std::numeric_limits<float>::max();
          return cuda::Sums<1, float>{{finite ? 0.0f : 1.0f}};
        };
      },
      [=] LAMINA_DEVICE(std::int64_t, const cuda::Sums<1>& sums) { *count = sums.value[0]; });
}

}  // namespace

void CudaBackend::fill(Tensor& out, double value) {
  visit_dtype(out.dtype(), "fill", [&](auto zero) {
    using T = decltype(zero);
    fill_kernel<T>(stream(), math::convert<T>(value), out);
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
        cuda::visit_floating(x.dtype(), F::name,
                             [&](auto zero) { unary_kernel<F, decltype(zero)>(stream(), f, x, y); });
      },
      function);
}

void CudaBackend::unary_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                             Tensor& out) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(saved.dtype(), F::name, [&](auto zero) {
          unary_grad_kernel<F, decltype(zero)>(stream(), f, saved, grad, out);
        });
      },
      function);
}

void CudaBackend::unary_grad_grad(const math::Unary& function, const Tensor& saved, const Tensor& grad,
                                  Tensor& out) {
  std::visit(
      [&]<typename F>(const F& f) {
        cuda::visit_floating(saved.dtype(), F::name, [&](auto zero) {
          unary_grad_grad_kernel<F, decltype(zero)>(stream(), f, saved, grad, out);
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
    cuda::visit_width<T>(x.elements(), {x.raw(), total.raw()},
                         [&](auto width) { accumulate_kernel<T, width()>(stream(), x, total); });
  });
}

void CudaBackend::accumulate_all(std::span<const Accumulation> sums) {
  ManySums many{};
  const auto start = [&] {
    if (many.count > 0) add_many(stream(), many);
    many = {};
  };
  for (const auto& [x, total] : sums) {
    if (total.dtype() == DType::f32 && (x.dtype() == DType::f32 || x.dtype() == DType::bf16) &&
        cuda::common_alignment({x.raw(), total.raw()}, 16) == 16) {
      if (!many.has_room(total)) start();
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
