// Augmentation: what is drawn, and that a loader's batches are those crops, pixel by pixel.
#include <array>
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

// The definition, one pixel at a time: zero-padded crop, mirror, normalisation, cutout.
double augmented_pixel(const data::Split& split, const Crop& crop, std::int64_t y, std::int64_t x,
                       std::int64_t c) {
  if (y >= crop.cut_top && y < crop.cut_bottom && x >= crop.cut_left && x < crop.cut_right) return 0;
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

TEST_CASE("a cutout's centre is any pixel, and what sticks out is lost", "[data][augment]") {
  const std::int64_t n = 12000, height = 5, width = 6;
  for (const int side : {1, 2, 3, 4, 9, 1000}) {
    INFO("a side of " << side);
    data::Augment augment = data::standard();
    augment.cutout = side;
    const auto crops = data::crops(count_up(n), augment, 4, 2, 1, {height, width});
    const auto without = data::crops(count_up(n), data::standard(), 4, 2, 1);
    std::map<std::array<int, 4>, double> expected, found;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const int top = std::max(0, y - side / 2), bottom = std::min<int>(height, y - side / 2 + side);
        const int left = std::max(0, x - side / 2), right = std::min<int>(width, x - side / 2 + side);
        expected[{top, bottom, left, right}] += static_cast<double>(n) / (height * width);
      }
    for (std::size_t i = 0; i < crops.size(); ++i) {
      const Crop& crop = crops[i];
      CHECK(same(crop, without[i]));
      ++found[{crop.cut_top, crop.cut_bottom, crop.cut_left, crop.cut_right}];
    }
    REQUIRE(found.size() == expected.size());
    double chi_square = 0;
    for (const auto& [rectangle, count] : expected)
      chi_square += std::pow(found[rectangle] - count, 2) / count;
    const double freedom = static_cast<double>(expected.size()) - 1;  // its mean; the variance is twice that
    CHECK(chi_square <= freedom + 4 * std::sqrt(2 * freedom));
  }
  for (const Crop& crop : data::crops(count_up(20), data::standard(), 4, 2))
    CHECK((crop.cut_bottom == 0 && crop.cut_right == 0));
}

TEST_CASE("views are cut out apart, and as long as nothing but the seed differs the same",
          "[data][augment]") {
  const data::Augment augment{.cutout = 2};
  const auto cuts = [&](std::uint64_t seed, std::uint32_t epoch, int view) {
    std::vector<std::pair<int, int>> places;
    for (const Crop& crop : data::crops(count_up(50), augment, seed, epoch, view, {40, 40}))
      places.emplace_back(crop.cut_bottom, crop.cut_right);
    return places;
  };
  CHECK(cuts(1, 0, 0) == cuts(1, 0, 0));
  CHECK(cuts(1, 0, 0) != cuts(2, 0, 0));
  CHECK(cuts(1, 0, 0) != cuts(1, 1, 0));
  for (int view = 1; view < data::most_views; ++view) CHECK(cuts(1, 0, view) != cuts(1, 0, view - 1));
}

TEST_CASE("augmentations have names", "[data][augment]") {
  CHECK(data::augment_named("standard").padding == 4);
  CHECK(data::augment_named("none").flip == false);
  check_error([] { data::augment_named("autoaugment"); }, {"'autoaugment'", "none or standard"});
}

TEST_CASE("a loader's batch is the definition of the augmentation, pixel by pixel", "[data][augment]") {
  const data::Split split =
      data::synthetic({.classes = 3, .height = 7, .width = 9, .train = 30, .test = 3}, quiet()).train;
  for (const data::Augment& augment : {data::standard(), data::none(), data::Augment{.padding = 1},
                                       data::Augment{.padding = 4, .flip = true, .cutout = 5}}) {
    const data::Loader loader(split, {.batch = 30, .augment = augment, .seed = 11});
    for (const data::Part& part : loader.epoch(2)) {
      const std::vector<Crop> crops = data::crops(part.samples, augment, 11, 2, 0, {7, 9});
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
