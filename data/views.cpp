#include "data/views.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/random.h"

namespace lamina::data {
namespace {

using math::ViewOperator;
using math::ViewStep;

constexpr int crop_tries = 10;

// Which draw is for what, so that no setting of a recipe moves the others' numbers.
enum Draw : std::uint32_t {
  crop_draw = 0,  // four for each try: area, aspect ratio, top, left
  flip_draw = 4 * crop_tries,
  jitter_draw,
  order_draw,                    // three
  factor_draw = order_draw + 3,  // four: brightness, contrast, saturation, hue
  grayscale_draw = factor_draw + 4,
  blur_draw,
  sigma_draw,
  solarize_draw,
};

class ViewDraws {
 public:
  ViewDraws(const ViewPolicy& policy, const Random& random) : policy_(policy), random_(random) {}

  View view(std::int64_t sample, const CropSize& size) const {
    View view{.source = static_cast<std::int32_t>(sample),
              .filter = policy_.filter,
              .flip = happens(flip_draw, policy_.flip)};
    crop(size, view);
    ViewStep* step = view.steps;
    if (happens(jitter_draw, policy_.jitter))
      for (const ViewStep& colour : colour_steps()) *step++ = colour;
    if (happens(grayscale_draw, policy_.grayscale)) *step++ = {ViewOperator::grayscale};
    if (happens(blur_draw, policy_.blur)) *step++ = {ViewOperator::blur, uniform_float(sigma_draw, 0.1, 2)};
    if (happens(solarize_draw, policy_.solarize)) *step++ = {ViewOperator::solarize, 128};
    return view;
  }

 private:
  bool happens(std::uint32_t draw, double probability) const { return random_.uniform(draw) < probability; }
  double uniform(std::uint32_t draw, double from, double to) const {
    return from + (to - from) * random_.uniform(draw);
  }
  float uniform_float(std::uint32_t draw, double from, double to) const {
    return static_cast<float>(uniform(draw, from, to));
  }

  // torchvision's RandomResizedCrop.
  void crop(const CropSize& size, View& view) const {
    const auto area = static_cast<double>(size.height * size.width);
    for (std::uint32_t draw = crop_draw; draw < crop_draw + 4 * crop_tries; draw += 4) {
      const double target = area * uniform(draw, policy_.least_area, 1);
      const double aspect = std::exp(uniform(draw + 1, std::log(3.0 / 4), std::log(4.0 / 3)));
      const auto width = std::llrint(std::sqrt(target * aspect));  // halves to even
      const auto height = std::llrint(std::sqrt(target / aspect));
      if (width <= 0 || height <= 0 || width > size.width || height > size.height) continue;
      const auto below = [&](std::uint32_t which, std::int64_t n) {
        return static_cast<std::int32_t>(random_.below(which, static_cast<std::uint32_t>(n)));
      };
      view.top = below(draw + 2, size.height - height + 1),
      view.left = below(draw + 3, size.width - width + 1);
      view.height = static_cast<std::int32_t>(height), view.width = static_cast<std::int32_t>(width);
      return;
    }
    central_crop(size, view);
  }

  // The largest one whose aspect ratio is allowed.
  static void central_crop(const CropSize& size, View& view) {
    const double aspect = static_cast<double>(size.width) / static_cast<double>(size.height);
    view.width = static_cast<std::int32_t>(size.width), view.height = static_cast<std::int32_t>(size.height);
    if (aspect < 3.0 / 4)
      view.height = static_cast<std::int32_t>(std::lrint(static_cast<double>(size.width) / (3.0 / 4)));
    if (aspect > 4.0 / 3)
      view.width = static_cast<std::int32_t>(std::lrint(static_cast<double>(size.height) * (4.0 / 3)));
    view.top = (static_cast<std::int32_t>(size.height) - view.height) / 2;
    view.left = (static_cast<std::int32_t>(size.width) - view.width) / 2;
  }

  // torchvision's ColorJitter: four factors, in random order.
  std::array<ViewStep, 4> colour_steps() const {
    const auto factor = [&](std::uint32_t which, double range) {
      return uniform_float(factor_draw + which, std::max(0.0, 1 - range), 1 + range);
    };
    std::array<ViewStep, 4> steps{
        ViewStep{ViewOperator::brightness, factor(0, policy_.brightness)},
        ViewStep{ViewOperator::contrast, factor(1, policy_.contrast)},
        ViewStep{ViewOperator::saturation, factor(2, policy_.saturation)},
        ViewStep{ViewOperator::hue, uniform_float(factor_draw + 3, -policy_.hue, policy_.hue)}};
    for (std::uint32_t last = 3; last > 0; --last)  // Fisher–Yates
      std::swap(steps[last], steps[random_.below(order_draw + 3 - last, last + 1)]);
    return steps;
  }

  const ViewPolicy& policy_;
  const Random& random_;
};

void check_policy(const ViewRecipe& recipe, const ViewPolicy& policy) {
  const auto within = [&](const char* what, double value, double least, double most) {
    check(value >= least && value <= most, "views {}: {} {}; expected {} to {}", recipe.name, what, value,
          least, most);
  };
  within("flip", policy.flip, 0, 1);
  within("jitter", policy.jitter, 0, 1);
  within("grayscale", policy.grayscale, 0, 1);
  within("blur", policy.blur, 0, 1);
  within("solarize", policy.solarize, 0, 1);
  check(policy.least_area > 0 && policy.least_area <= 1,
        "views {}: least_area {}; expected a share of the image, above 0 and at most 1", recipe.name,
        policy.least_area);
  within("brightness", policy.brightness, 0, 100);
  within("contrast", policy.contrast, 0, 100);
  within("saturation", policy.saturation, 0, 100);
  within("hue", policy.hue, 0, 0.5);
}

}  // namespace

void check_view_recipe(const ViewRecipe& recipe, std::int64_t channels) {
  check(!recipe.views.empty(), "views {}: no kind of view; a recipe has at least one", recipe.name);
  check(channels == 1 || channels == 3,
        "views {}: images of {} channels; their colours are defined for 3, and for 1 where they are grey",
        recipe.name, channels);
  check(recipe.size >= 0 && recipe.size <= 1024,
        "views {}: a size of {} pixels; expected 1 to 1024, or 0 for that of the images", recipe.name,
        recipe.size);
  for (const ViewPolicy& policy : recipe.views) check_policy(recipe, policy);
}

std::string describe(const ViewPolicy& p) {
  std::string text = fmt::format("crop {} … 1 {}, flip {}", p.least_area,
                                 p.filter == math::Filter::bicubic ? "bicubic" : "bilinear", p.flip);
  if (p.jitter > 0)
    text += fmt::format(", jitter {} (brightness {}, contrast {}, saturation {}, hue {})", p.jitter,
                        p.brightness, p.contrast, p.saturation, p.hue);
  if (p.grayscale > 0) text += fmt::format(", grayscale {}", p.grayscale);
  if (p.blur > 0) text += fmt::format(", blur {}", p.blur);
  if (p.solarize > 0) text += fmt::format(", solarize {}", p.solarize);
  return text;
}

std::string describe(const ViewRecipe& recipe) {
  std::string text;
  for (const ViewPolicy& policy : recipe.views) text += (text.empty() ? "" : " / ") + describe(policy);
  return text;
}

std::vector<View> draw_views(std::span<const std::int64_t> samples, const ViewRecipe& recipe,
                             std::uint64_t seed, std::uint32_t epoch, int view, const CropSize& size) {
  const ViewPolicy& policy = recipe.views[static_cast<std::size_t>(view) % recipe.views.size()];
  std::vector<View> views;
  views.reserve(samples.size());
  for (const std::int64_t sample : samples) {
    const Random random{seed, stream_of_view(Stream::views, view), epoch, static_cast<std::uint32_t>(sample)};
    views.push_back(ViewDraws(policy, random).view(sample, size));
  }
  return views;
}

Tensor make_views(const Tensor& images, std::span<const View> views, std::int64_t height,
                  std::int64_t width) {
  check(images.rank() == 4 && images.dtype() == DType::u8 && (images.size(3) == 1 || images.size(3) == 3),
        "make_views: images are {}; expected u8 [N, H, W, C] with 1 or 3 channels", images.str());
  check(height > 0 && width > 0, "make_views: views of {}×{} pixels (height×width); expected at least 1×1",
        height, width);
  for (std::size_t n = 0; n < views.size(); ++n) {
    const View& view = views[n];
    check(view.source >= 0 && view.source < images.size(0),
          "make_views: view {} asks for image {}; expected 0 to {}", n, view.source, images.size(0) - 1);
    check(view.top >= 0 && view.left >= 0 && view.height > 0 && view.width > 0 &&
              view.top + std::int64_t{view.height} <= images.size(1) &&
              view.left + std::int64_t{view.width} <= images.size(2),
          "make_views: view {} takes rows {} … and columns {} …, {}×{} pixels; expected a part of {}×{} "
          "(height×width)",
          n, view.top, view.left, view.height, view.width, images.size(1), images.size(2));
  }
  Tensor out =
      Tensor::empty({std::ssize(views), height, width, images.size(3)}, {DType::u8, images.device()});
  backend_for(images.device()).make_views(images, views, out);
  return out;
}

}  // namespace lamina::data
