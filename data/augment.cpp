#include "data/augment.h"

#include <algorithm>

#include "core/random.h"

namespace lamina::data {

namespace {

// As in the paper's code, but that a square of odd side has that side.
void cut_out(Crop& crop, int side, const CropSize& size, const Random& random, std::uint32_t first_draw) {
  const auto along = [&](std::uint32_t draw, std::int64_t extent, std::int32_t& start, std::int32_t& end) {
    const std::int64_t centre = random.below(first_draw + draw, static_cast<std::uint32_t>(extent));
    const std::int64_t first = centre - side / 2;
    start = static_cast<std::int32_t>(std::clamp<std::int64_t>(first, 0, extent));
    end = static_cast<std::int32_t>(std::clamp<std::int64_t>(first + side, 0, extent));
  };
  along(0, size.height, crop.cut_top, crop.cut_bottom);
  along(1, size.width, crop.cut_left, crop.cut_right);
}

}  // namespace

Augment augment_named(std::string_view name) {
  if (name == "none") return none();
  if (name == "standard") return standard();
  fail_usage("unknown augmentation '{}'; expected none or standard", name);
}

std::vector<Crop> crops(std::span<const std::int64_t> samples, const Augment& augment, std::uint64_t seed,
                        std::uint32_t epoch, int view, const CropSize& size) {
  const auto offsets = static_cast<std::uint32_t>(2 * augment.padding + 1);
  // A Philox block for each view, then one for each view's cutout.
  const auto first_draw = 4 * static_cast<std::uint32_t>(view), cutout_draw = first_draw + 4 * most_views;
  check(augment.cutout == 0 || (size.height > 0 && size.width > 0),
        "crops: a cutout of {} pixels needs the size of the crops; {} x {} was given", augment.cutout,
        size.height, size.width);
  std::vector<Crop> result;
  result.reserve(samples.size());
  for (const std::int64_t sample : samples) {
    const Random random{seed, Stream::augment, epoch, static_cast<std::uint32_t>(sample)};
    const auto offset = [&](std::uint32_t draw) {
      return static_cast<std::int16_t>(static_cast<int>(random.below(first_draw + draw, offsets)) -
                                       augment.padding);
    };
    result.push_back({.source = static_cast<std::int32_t>(sample),
                      .top = offset(0),
                      .left = offset(1),
                      .flip = augment.flip && random.below(first_draw + 2, 2) == 1});
    if (augment.cutout > 0) cut_out(result.back(), augment.cutout, size, random, cutout_draw);
  }
  return result;
}

}  // namespace lamina::data
