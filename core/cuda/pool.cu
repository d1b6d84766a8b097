// Max and average pooling over NHWC images.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/pack.h"
#include "core/math/pool.h"

namespace lamina {
namespace {

using cuda::Stream;

// The windows over images [·, height, width, channels], whose results are [·, rows.count, columns.count, ·].
// Channels are counted in packs of `pack`.
struct PoolLayout {
  PoolLayout(const Tensor& x, const Tensor& y, const Pool2dOptions& o, int pack)
      : rows{o.size, o.stride, o.padding, x.size(1), y.size(1)},
        columns{o.size, o.stride, o.padding, x.size(2), y.size(2)},
        channels(x.size(3) / pack) {}

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

// In 32 bits, as positions in an image are: rows [top, bottom) and columns [left, right).
struct Rectangle {
  LAMINA_HD Rectangle(const math::Range& rows, const math::Range& columns)
      : top(static_cast<int>(rows.begin)),
        bottom(static_cast<int>(rows.end)),
        left(static_cast<int>(columns.begin)),
        right(static_cast<int>(columns.end)) {}
  int top, bottom, left, right;
};

// The pixels of result i, and where its image begins, for a pack of channels.
struct Window {
  LAMINA_HD Window(const PoolLayout& layout, std::int64_t i)
      : Window(layout, i / layout.channels, i % layout.channels) {}
  LAMINA_HD Window(const PoolLayout& layout, std::int64_t window, std::int64_t c)
      : pixels(layout.rows.pixels_of(window / layout.columns.count % layout.rows.count),
               layout.columns.pixels_of(window % layout.columns.count)),
        image(layout.image(window / layout.columns.count / layout.rows.count, c)) {}

  Rectangle pixels;
  std::int64_t image;
};

// The windows that pixel i lies in, where its image's results begin, and its number there.
struct Pixel {
  LAMINA_HD Pixel(const PoolLayout& layout, std::int64_t i)
      : Pixel(layout, i / layout.channels, i % layout.channels) {}
  LAMINA_HD Pixel(const PoolLayout& layout, std::int64_t pixel, std::int64_t c)
      : windows(layout.rows.windows_of(pixel / layout.columns.pixels % layout.rows.pixels),
                layout.columns.windows_of(pixel % layout.columns.pixels)) {
    const std::int64_t n = pixel / layout.columns.pixels / layout.rows.pixels;
    results = layout.results(n, c);
    number = static_cast<int>(pixel - n * layout.rows.pixels * layout.columns.pixels);
  }

  Rectangle windows;
  std::int64_t results;
  int number;
};

template <typename T, int width>
void pool_kernel(Stream stream, const Tensor& x, const PoolLayout& layout, Tensor& y, Tensor& index) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  std::int32_t* positions = index.data<std::int32_t>();
  cuda::for_each<1>(stream, y.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const Window window(layout, i);
    const auto& [top, bottom, left, right] = window.pixels;
    const auto row = static_cast<int>(layout.columns.pixels);
    const int first = top * row + left;
    auto largest = cuda::widened(cuda::load<width>(from, window.image + first * layout.channels));
    cuda::Pack<std::int32_t, width> best;
    for (int k = 0; k < width; ++k) best.value[k] = first;
    for (int h = top; h < bottom; ++h)
      for (int w = left; w < right; ++w) {
        const int at = h * row + w;
        const auto in = cuda::widened(cuda::load<width>(from, window.image + at * layout.channels));
        for (int k = 0; k < width; ++k)
          if (math::larger(in.value[k], largest.value[k])) largest.value[k] = in.value[k], best.value[k] = at;
      }
    cuda::store(cuda::rounded<T>(largest), to, i);
    cuda::store(best, positions, i);
  });
}

// Each pixel asks the windows that it lies in, in their order, whether it was their maximum.
template <typename T, int width>
void scatter_kernel(Stream stream, const Tensor& grad, const Tensor& index, const PoolLayout& layout,
                    Tensor& grad_x) {
  const T* from = grad.data<T>();
  const std::int32_t* positions = index.data<std::int32_t>();
  T* to = grad_x.data<T>();
  cuda::for_each<1>(stream, grad_x.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const Pixel pixel(layout, i);
    cuda::Pack<float, width> sum{};
    const auto& [top, bottom, left, right] = pixel.windows;
    for (int h = top; h < bottom; ++h)
      for (int w = left; w < right; ++w) {
        const std::int64_t window = pixel.results + (h * layout.columns.count + w) * layout.channels;
        const auto position = cuda::load<width>(positions, window);
        const auto term = cuda::widened(cuda::load<width>(from, window));
        for (int k = 0; k < width; ++k)
          if (position.value[k] == pixel.number) sum.value[k] += term.value[k];
      }
    cuda::store(cuda::rounded<T>(sum), to, i);
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

// The sum of a rectangle's elements, each times `share`, in an image that begins at `image` with `row` places
// a row; in packs.
template <int width, typename T>
LAMINA_DEVICE inline cuda::Pack<float, width> shares_of(const T* from, std::int64_t image,
                                                        const Rectangle& places, std::int64_t row,
                                                        std::int64_t channels, float share) {
  cuda::Pack<float, width> sum{};
  for (int h = places.top; h < places.bottom; ++h)
    for (int w = places.left; w < places.right; ++w) {
      const auto in = cuda::widened(cuda::load<width>(from, image + (h * row + w) * channels));
      for (int k = 0; k < width; ++k) sum.value[k] += share * in.value[k];
    }
  return sum;
}

template <typename T, int width>
void average_kernel(Stream stream, const Tensor& x, const PoolLayout& layout, float share, Tensor& y) {
  const T* from = x.data<T>();
  T* to = y.data<T>();
  cuda::for_each<1>(stream, y.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const Window window(layout, i);
    const auto sum =
        shares_of<width>(from, window.image, window.pixels, layout.columns.pixels, layout.channels, share);
    cuda::store(cuda::rounded<T>(sum), to, i);
  });
}

// Each pixel adds up its share of the windows that it lies in.
template <typename T, int width>
void average_grad_kernel(Stream stream, const Tensor& grad, const PoolLayout& layout, float share,
                         Tensor& grad_x) {
  const T* from = grad.data<T>();
  T* to = grad_x.data<T>();
  cuda::for_each<1>(stream, grad_x.elements() / width, [=] LAMINA_DEVICE(std::int64_t i) {
    const Pixel pixel(layout, i);
    const auto sum =
        shares_of<width>(from, pixel.results, pixel.windows, layout.columns.count, layout.channels, share);
    cuda::store(cuda::rounded<T>(sum), to, i);
  });
}

// f(T{}, width) for the type and the packs that images and what is made of them allow.
template <typename F>
void visit_packs(std::string_view operation, const Tensor& images, const Tensor& made, const Tensor& index,
                 const F& f) {
  cuda::visit_floating(images.dtype(), operation, [&](auto zero) {
    cuda::visit_width<decltype(zero)>(images.size(3), {images.raw(), made.raw(), index.raw()},
                                      [&](auto width) { f(zero, width); });
  });
}

}  // namespace

void CudaBackend::max_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y, Tensor& index) {
  visit_packs("max_pool2d", x, y, index, [&](auto zero, auto width) {
    pool_kernel<decltype(zero), width()>(stream(), x, PoolLayout(x, y, options, width), y, index);
  });
}

void CudaBackend::max_pool2d_scatter(const Tensor& grad, const Tensor& index, const Pool2dOptions& options,
                                     Tensor& grad_x) {
  visit_packs("max_pool2d_scatter", grad, grad_x, index, [&](auto zero, auto width) {
    const PoolLayout layout(grad_x, grad, options, width);
    scatter_kernel<decltype(zero), width()>(stream(), grad, index, layout, grad_x);
  });
}

void CudaBackend::max_pool2d_gather(const Tensor& x, const Tensor& index, Tensor& y) {
  cuda::visit_floating(x.dtype(), "max_pool2d_gather",
                       [&](auto zero) { gather_kernel<decltype(zero)>(stream(), x, index, y); });
}

void CudaBackend::avg_pool2d(const Tensor& x, const Pool2dOptions& options, Tensor& y) {
  const float share = 1.0f / static_cast<float>(options.size * options.size);
  visit_packs("avg_pool2d", x, y, y, [&](auto zero, auto width) {
    average_kernel<decltype(zero), width()>(stream(), x, PoolLayout(x, y, options, width), share, y);
  });
}

void CudaBackend::avg_pool2d_grad(const Tensor& grad, const Pool2dOptions& options, Tensor& grad_x) {
  const float share = 1.0f / static_cast<float>(options.size * options.size);
  visit_packs("avg_pool2d_grad", grad, grad_x, grad, [&](auto zero, auto width) {
    const PoolLayout layout(grad_x, grad, options, width);
    average_grad_kernel<decltype(zero), width()>(stream(), grad, layout, share, grad_x);
  });
}

}  // namespace lamina
