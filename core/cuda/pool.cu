// Max and average pooling over NHWC images.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/pool.h"

namespace lamina {
namespace {

using cuda::Stream;

// The windows over images [·, height, width, channels], whose results are [·, rows.count, columns.count, ·].
struct PoolLayout {
  PoolLayout(const Tensor& x, const Tensor& y, const Pool2dOptions& o)
      : rows{o.size, o.stride, o.padding, x.size(1), y.size(1)},
        columns{o.size, o.stride, o.padding, x.size(2), y.size(2)},
        channels(x.size(3)) {}

  // Where channel c of an image, or of its results, begins.
  LAMINA_HD std::int64_t image(std::int64_t n, std::int64_t c) const {
    return n * rows.pixels * columns.pixels * channels + c;
  }
  LAMINA_HD std::int64_t results(std::int64_t n, std::int64_t c) const {
    return n * rows.count * columns.count * channels + c;
  }

  math::Windows rows, columns;
  math::Divisor channels;
};

template <typename T>
void pool_kernel(Stream stream, const Tensor& x, const PoolLayout& layout, Tensor& y, Tensor& index) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  std::int32_t* position = index.data<std::int32_t>();
  cuda::for_each(stream, y.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t width = layout.columns.pixels, channels = layout.channels;
    const std::int64_t c = i % layout.channels, window = i / layout.channels;
    const std::int64_t row = window / layout.columns.count;
    const math::Range rows = layout.rows.pixels_of(row % layout.rows.count);
    const math::Range columns = layout.columns.pixels_of(window % layout.columns.count);
    const T* image = from + layout.image(row / layout.rows.count, c);
    std::int64_t best = rows.begin * width + columns.begin;
    auto largest = static_cast<float>(image[best * channels]);
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w) {
        const auto value = static_cast<float>(image[(h * width + w) * channels]);
        if (math::larger(value, largest)) largest = value, best = h * width + w;
      }
    to[i] = static_cast<T>(largest);
    position[i] = static_cast<std::int32_t>(best);
  });
}

// Each pixel asks the windows that it lies in, in their order, whether it was their maximum.
template <typename T>
void scatter_kernel(Stream stream, const Tensor& grad, const Tensor& index, const PoolLayout& layout,
                    Tensor& grad_x) {
  const T* from = grad.data<T>();
  const std::int32_t* position = index.data<std::int32_t>();
  T* to = grad_x.data<T>();
  cuda::for_each(stream, grad_x.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t width = layout.columns.pixels, channels = layout.channels;
    const std::int64_t pixel = i / layout.channels, row = pixel / layout.columns.pixels;
    const std::int64_t n = row / layout.rows.pixels, own = pixel - n * layout.rows.pixels * width;
    const math::Range rows = layout.rows.windows_of(row % layout.rows.pixels);
    const math::Range columns = layout.columns.windows_of(pixel % layout.columns.pixels);
    const std::int64_t results = layout.results(n, i % layout.channels);
    float sum = 0;
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w) {
        const std::int64_t window = results + (h * layout.columns.count + w) * channels;
        if (position[window] == own) sum += static_cast<float>(from[window]);
      }
    to[i] = static_cast<T>(sum);
  });
}

template <typename T>
void gather_kernel(Stream stream, const Tensor& x, const Tensor& index, Tensor& y) {
  const math::Divisor channels = x.size(3), results = y.size(1) * y.size(2);
  const std::int64_t pixels = x.size(1) * x.size(2);
  const T* from = x.data<T>();
  const std::int32_t* position = index.data<std::int32_t>();
  T* to = y.data<T>();
  cuda::for_each(stream, y.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t window = i / channels, n = window / results;
    to[i] = from[(n * pixels + position[i]) * channels + i % channels];
  });
}

template <typename T>
void average_kernel(Stream stream, const Tensor& x, const PoolLayout& layout, float share, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  cuda::for_each(stream, y.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t width = layout.columns.pixels, channels = layout.channels;
    const std::int64_t window = i / layout.channels, row = window / layout.columns.count;
    const math::Range rows = layout.rows.pixels_of(row % layout.rows.count);
    const math::Range columns = layout.columns.pixels_of(window % layout.columns.count);
    const T* image = from + layout.image(row / layout.rows.count, i % layout.channels);
    float sum = 0;
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w)
        sum += share * static_cast<float>(image[(h * width + w) * channels]);
    to[i] = static_cast<T>(sum);
  });
}

// Each pixel adds up its share of the windows that it lies in.
template <typename T>
void average_grad_kernel(Stream stream, const Tensor& grad, const PoolLayout& layout, float share,
                         Tensor& grad_x) {
  const T* from = grad.data<T>();
  T* to = grad_x.data<T>();
  cuda::for_each(stream, grad_x.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t channels = layout.channels;
    const std::int64_t pixel = i / layout.channels, row = pixel / layout.columns.pixels;
    const math::Range rows = layout.rows.windows_of(row % layout.rows.pixels);
    const math::Range columns = layout.columns.windows_of(pixel % layout.columns.pixels);
    const T* results = from + layout.results(row / layout.rows.pixels, i % layout.channels);
    float sum = 0;
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w)
        sum += share * static_cast<float>(results[(h * layout.columns.count + w) * channels]);
    to[i] = static_cast<T>(sum);
  });
}

}  // namespace

void CudaBackend::max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) {
  cuda::visit_floating(x.dtype(), "max_pool2d", [&](auto zero) {
    pool_kernel<decltype(zero)>(stream(), x, PoolLayout(x, y, options), y, index);
  });
}

void CudaBackend::max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& options,
                                     Tensor& grad_x) {
  cuda::visit_floating(grad.dtype(), "max_pool2d_scatter", [&](auto zero) {
    scatter_kernel<decltype(zero)>(stream(), grad, index, PoolLayout(grad_x, grad, options), grad_x);
  });
}

void CudaBackend::max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  cuda::visit_floating(x.dtype(), "max_pool2d_gather",
                       [&](auto zero) { gather_kernel<decltype(zero)>(stream(), x, index, y); });
}

void CudaBackend::avg_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y) {
  const float share = 1.0f / static_cast<float>(options.size * options.size);
  cuda::visit_floating(x.dtype(), "avg_pool2d", [&](auto zero) {
    average_kernel<decltype(zero)>(stream(), x, PoolLayout(x, y, options), share, y);
  });
}

void CudaBackend::avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& options, Tensor& grad_x) {
  const float share = 1.0f / static_cast<float>(options.size * options.size);
  cuda::visit_floating(grad.dtype(), "avg_pool2d_grad", [&](auto zero) {
    average_grad_kernel<decltype(zero)>(stream(), grad, PoolLayout(grad_x, grad, options), share, grad_x);
  });
}

}  // namespace lamina
