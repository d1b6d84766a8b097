#include "data/augment.h"

#include "core/random.h"

namespace lamina::data {

Augment augment_named(std::string_view name) {
  if (name == "none") return none();
  if (name == "standard") return standard();
  fail_usage("unknown augmentation '{}'; expected none or standard", name);
}

std::vector<Crop> crops(std::span<const std::int64_t> samples, const Augment& augment, std::uint64_t seed,
                        std::uint32_t epoch, int view) {
  const auto offsets = static_cast<std::uint32_t>(2 * augment.padding + 1);
  const auto first_draw = 4 * static_cast<std::uint32_t>(view);  // a Philox block for each view
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
  }
  return result;
}

}  // namespace lamina::data
