// Max and average pooling over NHWC images, channels innermost.
#include <algorithm>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/math/pool.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

// best = max(best, x) per channel, remembering where.
template <typename T>
void take_larger(const T* x, std::int32_t position, std::int64_t channels, T* best, std::int32_t* index) {
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) {
    const bool larger = math::larger(x[c], best[c]);
    best[c] = larger ? x[c] : best[c];
    index[c] = larger ? position : index[c];
  }
}

// The maxima of one window of an image [·, width, channels].
template <typename T>
void pool_window(const T* image, math::Range rows, math::Range columns, std::int64_t width,
                 std::int64_t channels, T* best, std::int32_t* index) {
  const std::int64_t first = rows.begin * width + columns.begin;
  std::copy_n(image + first * channels, channels, best);
  std::fill_n(index, channels, static_cast<std::int32_t>(first));
  for (std::int64_t h = rows.begin; h < rows.end; ++h) {
    for (std::int64_t w = columns.begin; w < columns.end; ++w) {
      const std::int64_t position = h * width + w;
      take_larger(image + position * channels, static_cast<std::int32_t>(position), channels, best, index);
    }
  }
}

}  // namespace

void CpuBackend::max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) {
  const std::int64_t height = x.size(1), width = x.size(2), channels = x.size(3);
  const std::int64_t out_height = y.size(1), out_width = y.size(2);
  const math::Windows vertical{options.size, options.stride, options.padding, height, out_height};
  const math::Windows horizontal{options.size, options.stride, options.padding, width, out_width};
  visit_floating(x.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(y.size(0) * out_height, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const T* image = x.data<T>() + row / out_height * height * width * channels;
        const math::Range rows = vertical.pixels_of(row % out_height);
        for (std::int64_t o = 0; o < out_width; ++o) {
          const std::int64_t to = (row * out_width + o) * channels;
          pool_window(image, rows, horizontal.pixels_of(o), width, channels, y.data<T>() + to,
                      index.data<std::int32_t>() + to);
        }
      }
    });
  });
}

void CpuBackend::max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions&,
                                    Tensor& grad_x) {
  if (grad_x.elements() == 0) return;
  const std::int64_t channels = grad.size(3);
  const std::int64_t pixels = grad.size(1) * grad.size(2), image = grad_x.elements() / grad_x.size(0);
  visit_floating(grad.dtype(), "max_pool2d_scatter", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(grad.size(0), 1, [&](std::int64_t n, std::int64_t end) {
      for (; n < end; ++n) {
        T* to = grad_x.data<T>() + n * image;
        std::fill_n(to, image, T(0));
        for (std::int64_t i = n * pixels; i < (n + 1) * pixels; ++i) {
          const T* from = grad.data<T>() + i * channels;
          const std::int32_t* position = index.data<std::int32_t>() + i * channels;
          for (std::int64_t c = 0; c < channels; ++c) to[position[c] * channels + c] += from[c];
        }
      }
    });
  });
}

void CpuBackend::max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  if (y.elements() == 0) return;
  const std::int64_t channels = x.size(3);
  const std::int64_t pixels = y.size(1) * y.size(2), image = x.elements() / x.size(0);
  visit_floating(x.dtype(), "max_pool2d_gather", [&](auto zero) {
    using T = decltype(zero);
    parallel_for(y.size(0), 1, [&](std::int64_t n, std::int64_t end) {
      for (; n < end; ++n) {
        const T* from = x.data<T>() + n * image;
        for (std::int64_t i = n * pixels; i < (n + 1) * pixels; ++i) {
          T* to = y.data<T>() + i * channels;
          const std::int32_t* position = index.data<std::int32_t>() + i * channels;
          for (std::int64_t c = 0; c < channels; ++c) to[c] = from[position[c] * channels + c];
        }
      }
    });
  });
}

namespace {

template <typename T>
void add_scaled(const T* x, T scale, std::int64_t channels, T* sum) {
#pragma omp simd
  for (std::int64_t c = 0; c < channels; ++c) sum[c] += scale * x[c];
}

// y[n, h, w] = share * the sum of x[n] over the pixels in rows_of(h) and columns_of(w).
template <typename T, typename RowsOf, typename ColumnsOf>
void sum_ranges(const Tensor& x, T share, const RowsOf& rows_of, const ColumnsOf& columns_of, Tensor& y) {
  const std::int64_t height = y.size(1), width = y.size(2), channels = y.size(3), line = x.size(2);
  std::vector<math::Range> columns;
  for (std::int64_t column = 0; column < width; ++column) columns.push_back(columns_of(column));
  parallel_for(y.size(0) * height, 1, [&](std::int64_t row, std::int64_t end) {
    for (; row < end; ++row) {
      const T* image = x.data<T>() + row / height * x.size(1) * line * channels;
      const math::Range rows = rows_of(row % height);
      T* to = y.data<T>() + row * width * channels;
      std::fill_n(to, width * channels, T(0));
      for (const math::Range& some : columns) {
        for (std::int64_t h = rows.begin; h < rows.end; ++h)
          for (std::int64_t w = some.begin; w < some.end; ++w)
            add_scaled(image + (h * line + w) * channels, share, channels, to);
        to += channels;
      }
    }
  });
}

}  // namespace

void CpuBackend::avg_pool2d(const Tensor& x, const Pool2dOptions& o, Tensor& y) {
  const math::Windows vertical{o.size, o.stride, o.padding, x.size(1), y.size(1)};
  const math::Windows horizontal{o.size, o.stride, o.padding, x.size(2), y.size(2)};
  visit_floating(x.dtype(), "avg_pool2d", [&](auto zero) {
    sum_ranges(
        x, static_cast<decltype(zero)>(1.0 / (o.size * o.size)),
        [&](std::int64_t h) { return vertical.pixels_of(h); },
        [&](std::int64_t w) { return horizontal.pixels_of(w); }, y);
  });
}

void CpuBackend::avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& o, Tensor& grad_x) {
  const math::Windows vertical{o.size, o.stride, o.padding, grad_x.size(1), grad.size(1)};
  const math::Windows horizontal{o.size, o.stride, o.padding, grad_x.size(2), grad.size(2)};
  visit_floating(grad.dtype(), "avg_pool2d_grad", [&](auto zero) {
    sum_ranges(
        grad, static_cast<decltype(zero)>(1.0 / (o.size * o.size)),
        [&](std::int64_t h) { return vertical.windows_of(h); },
        [&](std::int64_t w) { return horizontal.windows_of(w); }, grad_x);
  });
}

}  // namespace lamina
