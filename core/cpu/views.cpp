// Random views of u8 images: cut out, resized, mirrored, recoloured and blurred.
#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/resize.h"
#include "core/math/views.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

using math::Rgb;
using math::ViewOperator;

// One view in the making, [height, width, channels].
struct Canvas {
  std::uint8_t* pixels;
  std::int64_t height, width, channels;

  std::int64_t size() const { return height * width; }  // in pixels
  std::int64_t row_bytes() const { return width * channels; }
  std::int64_t bytes() const { return size() * channels; }
};

// Of a thread.
struct Workspace {
  std::vector<std::uint8_t> resized;   // along x alone
  std::vector<std::uint8_t> blurred;   // of the canvas' size
  std::vector<std::uint8_t> lines[2];  // rows with their edges replicated
  std::vector<std::uint32_t> sums;     // of a row
};

// The taps of every axis that a call resizes.
class AllTaps {
 public:
  AllTaps(std::span<const View> views, std::int64_t height, std::int64_t width) {
    for (const View& view : views) {
      add({view.filter, view.height, height});
      add({view.filter, view.width, width});
    }
  }
  const cpu::ResizeTaps& of(const math::Resampling& axis) const { return taps_.at(key(axis)); }

 private:
  using Key = std::tuple<math::Filter, std::int64_t, std::int64_t>;
  static Key key(const math::Resampling& axis) { return {axis.filter, axis.from, axis.to}; }
  void add(const math::Resampling& axis) {
    if (!taps_.contains(key(axis))) taps_.emplace(key(axis), axis);
  }
  std::map<Key, cpu::ResizeTaps> taps_;
};

// `image` is the view's source, of `image_width` pixels a row.
void cut_and_resize(const std::uint8_t* image, std::int64_t image_width, const View& view,
                    const AllTaps& taps, const Canvas& canvas, Workspace& workspace) {
  workspace.resized.resize(static_cast<std::size_t>(view.height * canvas.row_bytes()));
  const cpu::ResizeTaps& along_x = taps.of({view.filter, view.width, canvas.width});
  for (std::int64_t y = 0; y < view.height; ++y) {
    const std::uint8_t* row = image + ((view.top + y) * image_width + view.left) * canvas.channels;
    cpu::resize_row(row, along_x, canvas.channels, view.flip,
                    workspace.resized.data() + y * canvas.row_bytes());
  }
  cpu::resize_column(workspace.resized.data(), taps.of({view.filter, view.height, canvas.height}),
                     canvas.row_bytes(), canvas.pixels);
}

// Colours of so many pixels apart, so that formulas of all three run on vector registers.
struct Planes {
  static constexpr std::int64_t size = 64;
  std::uint8_t r[size] = {}, g[size] = {}, b[size] = {};

  void load(const std::uint8_t* pixels, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i)
      r[i] = pixels[3 * i], g[i] = pixels[3 * i + 1], b[i] = pixels[3 * i + 2];
  }
  void store(std::uint8_t* pixels, std::int64_t count) const {
    for (std::int64_t i = 0; i < count; ++i)
      pixels[3 * i] = r[i], pixels[3 * i + 1] = g[i], pixels[3 * i + 2] = b[i];
  }
};

// Each pixel p becomes recolour(p).
template <typename Recolour>
void recolour_pixels(const Canvas& canvas, const Recolour& recolour) {
  Planes planes;
  for (std::int64_t start = 0; start < canvas.size(); start += Planes::size) {
    const std::int64_t count = std::min(Planes::size, canvas.size() - start);
    planes.load(canvas.pixels + 3 * start, count);
    for (std::int64_t i = 0; i < Planes::size; ++i) {
      const Rgb p = recolour(Rgb{planes.r[i], planes.g[i], planes.b[i]});
      planes.r[i] = p.r, planes.g[i] = p.g, planes.b[i] = p.b;
    }
    planes.store(canvas.pixels + 3 * start, count);
  }
}

// Each byte v becomes change(v).
template <typename Change>
void change_bytes(const Canvas& canvas, const Change& change) {
  for (std::int64_t i = 0; i < canvas.bytes(); ++i) canvas.pixels[i] = change(canvas.pixels[i]);
}

std::uint8_t mean_luminance(const Canvas& canvas) {
  std::uint64_t sum = 0;
  if (canvas.channels == 1) {
    for (std::int64_t i = 0; i < canvas.size(); ++i) sum += canvas.pixels[i];
  } else {
    Planes planes;
    for (std::int64_t start = 0; start < canvas.size(); start += Planes::size) {
      const std::int64_t count = std::min(Planes::size, canvas.size() - start);
      planes.load(canvas.pixels + 3 * start, count);
      std::uint32_t of_block = 0;
      for (std::int64_t i = 0; i < count; ++i)
        of_block += math::luminance({planes.r[i], planes.g[i], planes.b[i]});
      sum += of_block;
    }
  }
  return math::mean_luminance(sum, canvas.size());
}

// `n` bytes of the mean over neighbours: tap(k) are those that lie k pixels further.
template <typename Tap>
void box_pass(const math::ExtendedBox& box, std::int64_t n, const Tap& tap, Workspace& workspace,
              std::uint8_t* out) {
  std::uint32_t* sums = workspace.sums.data();
  std::fill_n(sums, n, 0u);
  for (std::int64_t k = -box.radius; k <= box.radius; ++k) {
    const std::uint8_t* in = tap(k);
    for (std::int64_t i = 0; i < n; ++i) sums[i] += in[i];
  }
  const std::uint8_t *before = tap(-box.radius - 1), *after = tap(box.radius + 1);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t outer = before[i] + std::uint32_t{after[i]};
    out[i] = box.pixel(sums[i], outer);
  }
}

// All passes along a row.
void blur_row(const math::ExtendedBox& box, const Canvas& canvas, const std::uint8_t* row,
              Workspace& workspace, std::uint8_t* out) {
  const std::int64_t edge = (box.radius + std::int64_t{1}) * canvas.channels, n = canvas.row_bytes();
  std::uint8_t *line = workspace.lines[0].data(), *next = workspace.lines[1].data();
  std::copy_n(row, n, line + edge);
  for (int pass = 0; pass < math::ExtendedBox::passes; ++pass) {
    for (std::int64_t i = 0; i < edge; ++i) {
      line[edge - 1 - i] = line[edge + canvas.channels - 1 - i % canvas.channels];
      line[edge + n + i] = line[edge + n - canvas.channels + i % canvas.channels];
    }
    const auto tap = [&](std::int64_t k) { return line + edge + k * canvas.channels; };
    const bool last = pass + 1 == math::ExtendedBox::passes;
    box_pass(box, n, tap, workspace, last ? out : next + edge);
    std::swap(line, next);
  }
}

void blur(const Canvas& canvas, float sigma, Workspace& workspace) {
  const math::ExtendedBox box = math::ExtendedBox::of_sigma(sigma);
  const std::int64_t n = canvas.row_bytes();
  const auto padded = static_cast<std::size_t>(n + 2 * (box.radius + std::int64_t{1}) * canvas.channels);
  for (auto& line : workspace.lines) line.resize(std::max(line.size(), padded));
  workspace.sums.resize(std::max(workspace.sums.size(), static_cast<std::size_t>(n)));
  workspace.blurred.resize(static_cast<std::size_t>(canvas.bytes()));

  std::uint8_t *from = workspace.blurred.data(), *to = canvas.pixels;
  for (std::int64_t y = 0; y < canvas.height; ++y)
    blur_row(box, canvas, canvas.pixels + y * n, workspace, from + y * n);
  static_assert(math::ExtendedBox::passes % 2 == 1, "the last pass ends in the canvas");
  for (int pass = 0; pass < math::ExtendedBox::passes; ++pass) {
    for (std::int64_t y = 0; y < canvas.height; ++y) {
      const auto tap = [&](std::int64_t k) {
        return from + std::clamp<std::int64_t>(y + k, 0, canvas.height - 1) * n;
      };
      box_pass(box, n, tap, workspace, to + y * n);
    }
    std::swap(from, to);
  }
}

// math::recoloured() of every pixel, or a blur.
void take_step(const Canvas& canvas, const math::ViewStep& step, Workspace& workspace) {
  const float amount = step.amount;
  const auto towards = [&](std::uint8_t grey) {
    change_bytes(canvas, [=](std::uint8_t v) { return math::blend(grey, v, amount); });
  };
  switch (step.op) {
    case ViewOperator::none:
      return;
    case ViewOperator::brightness:
      return towards(0);
    case ViewOperator::contrast:
      return towards(mean_luminance(canvas));
    case ViewOperator::blur:
      return blur(canvas, amount, workspace);
    case ViewOperator::solarize:
      return change_bytes(canvas, [=](std::uint8_t v) { return math::solarized(v, amount); });
    case ViewOperator::saturation:
    case ViewOperator::hue:
    case ViewOperator::grayscale:
      break;
  }
  if (canvas.channels == 1) return;
  if (step.op == ViewOperator::hue) {
    recolour_pixels(canvas, [=](Rgb p) { return math::hue_shifted(p, amount); });
  } else if (step.op == ViewOperator::saturation) {
    recolour_pixels(canvas, [=](Rgb p) {
      return math::recoloured(p, {ViewOperator::saturation, amount}, 0);
    });
  } else {
    recolour_pixels(canvas, [](Rgb p) { return math::recoloured(p, {ViewOperator::grayscale}, 0); });
  }
}

}  // namespace

void CpuBackend::make_views(const Tensor& images, std::span<const View> views, Tensor& out) {
  const std::int64_t height = out.size(1), width = out.size(2), channels = out.size(3);
  const AllTaps taps(views, height, width);
  const auto* sources = images.data<std::uint8_t>();
  auto* results = out.data<std::uint8_t>();
  parallel_for(
      out.size(0), 1, [] { return Workspace(); },
      [&](std::int64_t n, std::int64_t, Workspace& workspace) {
        const View& view = views[static_cast<std::size_t>(n)];
        const Canvas canvas{results + n * height * width * channels, height, width, channels};
        const std::uint8_t* image = sources + view.source * images.size(1) * images.size(2) * channels;
        cut_and_resize(image, images.size(2), view, taps, canvas, workspace);
        for (const math::ViewStep& step : view.steps) take_step(canvas, step, workspace);
      });
}

}  // namespace lamina
