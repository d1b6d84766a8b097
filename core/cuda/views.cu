// Random views of u8 images: cut out, resized, mirrored, recoloured and blurred; all views of a call at once,
// a step after the other.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/cuda/cuda_backend.h"
#include "core/cuda/launch.h"
#include "core/math/views.h"

namespace lamina {
namespace {

using cuda::Stream;
using math::ViewOperator;

// u8 [views, height, width, channels], and what is to become of each.
struct Canvases {
  const View* views;
  std::int64_t count, height, width, channels;

  std::int64_t pixels() const { return count * height * width; }
  std::int64_t bytes() const { return pixels() * channels; }
};

// Along x, and mirrored; `rows` of each view: as many as the images have, of which it fills its own.
void resize_rows(Stream stream, const Tensor& images, const Canvases& canvases, std::uint8_t* out) {
  const std::int64_t image_width = images.size(2);
  const math::Divisor rows = images.size(1), width = canvases.width, channels = canvases.channels;
  const View* views = canvases.views;
  const std::uint8_t* pixels = images.data<std::uint8_t>();
  cuda::for_each(stream, canvases.count * rows * width * channels, [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t c = i % channels, place = i / channels;
    const std::int64_t x = place % width, line = place / width, y = line % rows;
    const View& view = views[line / rows];
    if (y >= view.height) return;
    const math::Resampling axis{view.filter, view.width, width};
    const math::Resampling::Window window = axis.window(view.flip ? width - 1 - x : x);
    const double weight_sum = axis.weight_sum(window);
    const std::uint8_t* in =
        pixels + ((view.source * rows + view.top + y) * image_width + view.left) * channels + c;
    std::int32_t sum = math::Resampling::half;
    for (std::int64_t k = window.first; k < window.end; ++k)
      sum += math::Resampling::fixed_point(axis.weight(window, k), weight_sum) * in[k * channels];
    out[i] = math::Resampling::pixel(sum);
  });
}

// Along y, from the `rows` of resize_rows().
void resize_columns(Stream stream, const std::uint8_t* pixels, std::int64_t rows, const Canvases& canvases,
                    std::uint8_t* out) {
  const math::Divisor height = canvases.height, row_bytes = canvases.width * canvases.channels;
  const View* views = canvases.views;
  cuda::for_each(stream, canvases.bytes(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t column = i % row_bytes, line = i / row_bytes, y = line % height, n = line / height;
    const math::Resampling axis{views[n].filter, views[n].height, height};
    const math::Resampling::Window window = axis.window(y);
    const double weight_sum = axis.weight_sum(window);
    std::int32_t sum = math::Resampling::half;
    for (std::int64_t k = window.first; k < window.end; ++k)
      sum += math::Resampling::fixed_point(axis.weight(window, k), weight_sum) *
             pixels[(n * rows + k) * row_bytes + column];
    out[i] = math::Resampling::pixel(sum);
  });
}

LAMINA_HD math::Rgb load_pixel(const std::uint8_t* pixel, std::int64_t channels) {
  return channels == 3 ? math::Rgb{pixel[0], pixel[1], pixel[2]} : math::Rgb{pixel[0], pixel[0], pixel[0]};
}

// Of the views whose step `s` is contrast.
void mean_luminances(Stream stream, const std::uint8_t* pixels, const Canvases& canvases, int s,
                     std::uint8_t* means) {
  const std::int64_t size = canvases.height * canvases.width, channels = canvases.channels;
  const View* views = canvases.views;
  cuda::for_each_row(stream, canvases.count, [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t n) {
    if (views[n].steps[s].op != ViewOperator::contrast) return;
    unsigned long long sum = 0;
    for (std::int64_t i = team.lane; i < size; i += cuda::Team::size)
      sum += math::luminance(load_pixel(pixels + (n * size + i) * channels, channels));
    sum = team.sum(sum);
    if (team.lane == 0) means[n] = math::mean_luminance(sum, size);
  });
}

void recolour(Stream stream, const Canvases& canvases, int s, const std::uint8_t* means,
              std::uint8_t* pixels) {
  const math::Divisor size = canvases.height * canvases.width;
  const std::int64_t channels = canvases.channels;
  const View* views = canvases.views;
  cuda::for_each(stream, canvases.pixels(), [=] LAMINA_DEVICE(std::int64_t i) {
    const math::ViewStep step = views[i / size].steps[s];
    if (step.op == ViewOperator::none || step.op == ViewOperator::blur) return;
    std::uint8_t* pixel = pixels + i * channels;
    const std::uint8_t mean = step.op == ViewOperator::contrast ? means[i / size] : std::uint8_t{0};
    const math::Rgb p = math::recoloured(load_pixel(pixel, channels), step, mean);
    pixel[0] = p.r;
    if (channels == 3) pixel[1] = p.g, pixel[2] = p.b;
  });
}

// One pass along an axis of `extent` pixels that lie `stride` bytes apart; views without a blur are copied.
void box_pass(Stream stream, const Canvases& canvases, int s, const math::Divisor& extent,
              const math::Divisor& stride, const std::uint8_t* in, std::uint8_t* out) {
  const math::Divisor bytes = canvases.height * canvases.width * canvases.channels;
  const View* views = canvases.views;
  cuda::for_each(stream, canvases.bytes(), [=] LAMINA_DEVICE(std::int64_t i) {
    const math::ViewStep step = views[i / bytes].steps[s];
    if (step.op != ViewOperator::blur) {
      out[i] = in[i];
      return;
    }
    const math::ExtendedBox box = math::ExtendedBox::of_sigma(step.amount);
    const std::int64_t at = i / stride % extent;
    const std::uint8_t* first = in + i - at * stride;
    const auto value = [&](std::int64_t place) -> std::uint32_t {
      const std::int64_t inside = place < 0 ? 0 : (place >= extent ? extent - 1 : place);
      return first[inside * stride];
    };
    std::uint32_t inner = 0;
    for (std::int64_t k = at - box.radius; k <= at + box.radius; ++k) inner += value(k);
    out[i] = box.pixel(inner, value(at - box.radius - 1) + value(at + box.radius + 1));
  });
}

void blur(Stream stream, const Canvases& canvases, int s, std::uint8_t* pixels, std::uint8_t* other) {
  std::uint8_t *from = pixels, *to = other;
  const auto passes = [&](std::int64_t extent, std::int64_t stride) {
    for (int pass = 0; pass < math::ExtendedBox::passes; ++pass) {
      box_pass(stream, canvases, s, extent, stride, from, to);
      std::swap(from, to);
    }
  };
  passes(canvases.width, canvases.channels);
  passes(canvases.height, canvases.width * canvases.channels);  // an even number in all: ends in `pixels`
}

bool any_view_has(std::span<const View> views, int s, ViewOperator op) {
  return std::any_of(views.begin(), views.end(), [=](const View& view) { return view.steps[s].op == op; });
}

bool all_views_end(std::span<const View> views, int s) {
  return std::all_of(views.begin(), views.end(),
                     [=](const View& view) { return view.steps[s].op == ViewOperator::none; });
}

}  // namespace

void CudaBackend::make_views(const Tensor& images, std::span<const View> views, Tensor& out) {
  static_assert(std::is_trivially_copyable_v<View>);
  if (out.elements() == 0) return;
  const Device device = images.device();
  Tensor on_gpu = Tensor::empty({static_cast<std::int64_t>(views.size_bytes())}, {DType::u8, device});
  copy_from_host(views.data(), on_gpu);
  const Canvases canvases{reinterpret_cast<const View*>(on_gpu.raw()), out.size(0), out.size(1), out.size(2),
                          out.size(3)};
  std::uint8_t* pixels = out.data<std::uint8_t>();
  const std::int64_t rows = images.size(1);
  {
    const Scratch<std::uint8_t> resized(allocator(),
                                        canvases.count * rows * canvases.width * canvases.channels);
    resize_rows(stream(), images, canvases, resized.data());
    resize_columns(stream(), resized.data(), rows, canvases, pixels);
  }
  const Scratch<std::uint8_t> means(allocator(), canvases.count), blurred(allocator(), canvases.bytes());
  for (int s = 0; s < View::most_steps; ++s) {
    if (all_views_end(views, s)) continue;
    if (any_view_has(views, s, ViewOperator::contrast))
      mean_luminances(stream(), pixels, canvases, s, means.data());
    recolour(stream(), canvases, s, means.data(), pixels);
    if (any_view_has(views, s, ViewOperator::blur)) blur(stream(), canvases, s, pixels, blurred.data());
  }
}

}  // namespace lamina
