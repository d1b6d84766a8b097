// Augmentation: what is drawn, and that a loader's batches are those crops, pixel by pixel.
#include <cmath>
#include <map>
#include <numeric>

#include "core/random.h"
#include "data/augment.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

bool same(const Crop& a, const Crop& b) {
  return a.source == b.source && a.top == b.top && a.left == b.left && a.flip == b.flip;
}

std::vector<std::int64_t> count_up(std::int64_t n) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(n));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  return samples;
}

// The definition, one pixel at a time: zero-padded crop, mirror, then normalisation.
double augmented_pixel(const data::Split& split, const Crop& crop, std::int64_t y, std::int64_t x,
                       std::int64_t c) {
  const std::int64_t w = split.width();
  const std::int64_t source_y = crop.top + y;
  const std::int64_t source_x = crop.left + (crop.flip ? w - 1 - x : x);
  const bool inside = source_y >= 0 && source_y < split.height() && source_x >= 0 && source_x < w;
  const auto* image = split.get(crop.source).image.data<std::uint8_t>();
  const double pixel = inside ? image[(source_y * w + source_x) * split.channels() + c] : 0;
  const auto channel = static_cast<std::size_t>(c);
  return (pixel / 255.0 - split.mean[channel]) / split.std[channel];
}

}  // namespace

TEST_CASE("a sample's crop depends on seed, epoch, sample and view alone", "[data][augment]") {
  const auto all = data::crops(count_up(50), data::standard(), 7, 3);
  const std::vector<std::int64_t> some = {41, 3, 3, 17};
  const auto few = data::crops(some, data::standard(), 7, 3);
  for (std::size_t i = 0; i < some.size(); ++i) {
    CHECK(same(few[i], all[static_cast<std::size_t>(some[i])]));
  }
  const auto differing = [&](std::uint64_t seed, std::uint32_t epoch, int view = 0) {
    const auto other = data::crops(count_up(50), data::standard(), seed, epoch, view);
    return std::inner_product(all.begin(), all.end(), other.begin(), 0, std::plus<>(),
                              [](const Crop& a, const Crop& b) { return same(a, b) ? 0 : 1; });
  };
  CHECK(differing(7, 3) == 0);
  CHECK(differing(8, 3) > 40);  // 1 in 162 stays by chance
  CHECK(differing(7, 4) > 40);
  CHECK(differing(7, 3, 1) > 40);
  CHECK(differing(7, 3, 15) > 40);
}

TEST_CASE("offsets and mirrors are uniform and independent", "[data][augment]") {
  const std::int64_t n = 16200;
  std::map<std::tuple<int, int, bool>, int> counts;
  for (const Crop& crop : data::crops(count_up(n), data::standard(), 1, 0)) {
    ++counts[{crop.top, crop.left, crop.flip}];
  }
  REQUIRE(counts.size() == 9 * 9 * 2);
  CHECK(std::get<0>(counts.begin()->first) == -4);
  CHECK(std::get<0>(counts.rbegin()->first) == 4);
  double chi_square = 0;  // 161 degrees of freedom: mean 161, standard deviation 18
  for (const auto& [crop, count] : counts) chi_square += std::pow(count - 100, 2) / 100.0;
  CHECK(chi_square < 161 + 4 * 18);
  CHECK(chi_square > 161 - 4 * 18);

  for (const Crop& crop : data::crops(count_up(20), data::none(), 1, 0)) {
    CHECK((crop.top == 0 && crop.left == 0 && !crop.flip));
  }
}

TEST_CASE("augmentations have names", "[data][augment]") {
  CHECK(data::augment_named("standard").padding == 4);
  CHECK(data::augment_named("none").flip == false);
  check_error([] { data::augment_named("autoaugment"); }, {"'autoaugment'", "none or standard"});
}

TEST_CASE("a loader's batch is the definition of the augmentation, pixel by pixel", "[data][augment]") {
  const data::Split split =
      data::synthetic({.classes = 3, .height = 7, .width = 9, .train = 30, .test = 3}, quiet()).train;
  for (const data::Augment& augment : {data::standard(), data::none(), data::Augment{.padding = 1}}) {
    const data::Loader loader(split, {.batch = 30, .augment = augment, .seed = 11});
    for (const data::Part& part : loader.epoch(2)) {
      const std::vector<Crop> crops = data::crops(part.samples, augment, 11, 2);
      const float* value = part.images().data<float>();
      double worst = 0;
      for (std::size_t i = 0; i < crops.size(); ++i) {
        CHECK(part.labels.data<std::int32_t>()[i] == split.get(crops[i].source).label);
        for (std::int64_t y = 0; y < 7; ++y)
          for (std::int64_t x = 0; x < 9; ++x)
            for (std::int64_t c = 0; c < 3; ++c)
              worst = std::max(worst, std::abs(*value++ - augmented_pixel(split, crops[i], y, x, c)));
      }
      CHECK(worst < 2e-6);  // values up to 4, a few roundings in f32
    }
  }
}
