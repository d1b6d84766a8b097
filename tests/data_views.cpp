// Views: Pillow's pixels, what is drawn, and that a loader hands out these.
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/ops/ops.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data/view_recipes.h"
#include "data_files.h"
#include "view_cases.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

using math::ViewOperator;

std::vector<std::int64_t> rows_to(std::int64_t n) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

std::string text_of(const View& view) {
  std::string text =
      fmt::format("{} {} {} {} {} {}", view.source, view.top, view.left, view.height, view.width, view.flip);
  for (const math::ViewStep& step : view.steps)
    text += fmt::format(" {}:{}", static_cast<int>(step.op), step.amount);
  return text;
}

// Whether the view has such a step.
bool has(const View& view, ViewOperator op) {
  return std::any_of(std::begin(view.steps), std::end(view.steps),
                     [=](const math::ViewStep& step) { return step.op == op; });
}

// As a binomial's share of n may be, four deviations to each side.
bool is_share(double found, double probability, double n) {
  return std::abs(found / n - probability) <= 4 * std::sqrt(probability * (1 - probability) / n);
}

}  // namespace

TEST_CASE("every operator has Pillow's pixels", "[data][views]") {
  for (const ViewCase& row : view_cases()) {
    INFO(row.name);
    const Tensor out = data::make_views(view_test_image(), {&row.view, 1}, row.height, row.width);
    CHECK(out.shape() == Shape{1, row.height, row.width, 3});
    CHECK(crc_of(out) == row.crc);
  }
  const auto pixel = [](const char* name, int y, int x) {
    for (const ViewCase& row : view_cases()) {
      if (row.name != name) continue;
      const Tensor out = data::make_views(view_test_image(), {&row.view, 1}, row.height, row.width);
      const std::uint8_t* at = out.data<std::uint8_t>() + (y * 32 + x) * 3;
      return std::array<int, 3>{at[0], at[1], at[2]};
    }
    return std::array<int, 3>{};
  };
  CHECK(pixel("hue +0.1", 5, 7) == std::array<int, 3>{113, 243, 193});
  CHECK(pixel("bicubic crop", 5, 7) == std::array<int, 3>{184, 82, 110});
}

TEST_CASE("grey images have Pillow's pixels, and no hue or saturation to change", "[data][views]") {
  const View whole{.height = 32, .width = 32, .steps = {{ViewOperator::grayscale}}};
  const Tensor rgb = data::make_views(view_test_image(), {&whole, 1}, 32, 32);
  Tensor grey = Tensor::empty({1, 32, 32, 1}, {DType::u8});
  cpu_backend().read_slice(rgb, {3, 0, 1, 1}, grey);
  const auto crc_after = [&](ViewOperator op, float amount, std::int64_t height = 32,
                             std::int64_t width = 32) {
    const View view{.height = 32, .width = 32, .steps = {{op, amount}}};
    return crc_of(data::make_views(grey, {&view, 1}, height, width));
  };
  CHECK(crc_after(ViewOperator::contrast, 0.7f) == 0xc24ff18c);
  CHECK(crc_after(ViewOperator::brightness, 1.3f) == 0x319c6801);
  CHECK(crc_after(ViewOperator::blur, 1.7f) == 0xef661f72);
  CHECK(crc_after(ViewOperator::none, 0, 20, 24) == 0x75806bb9);
  for (const ViewOperator op : {ViewOperator::saturation, ViewOperator::hue, ViewOperator::grayscale})
    CHECK(crc_after(op, 0.3f) == crc_of(grey));
}

TEST_CASE("steps are taken in their order", "[data][views]") {
  const View both{
      .height = 32,
      .width = 32,
      .steps = {{ViewOperator::blur, 1}, {ViewOperator::solarize, 100}, {ViewOperator::hue, 0.2f}}};
  Tensor image = view_test_image();
  for (const math::ViewStep& step : both.steps) {
    const View one{.height = 32, .width = 32, .steps = {step}};
    image = data::make_views(image, {&one, 1}, 32, 32);
  }
  CHECK(crc_of(data::make_views(view_test_image(), {&both, 1}, 32, 32)) == crc_of(image));
}

TEST_CASE("a view is drawn from seed, epoch, sample and number alone", "[data][views]") {
  const data::ViewRecipe& recipe = data::find_view_recipe("solo-learn-simclr");
  const auto draw = [&](std::span<const std::int64_t> rows, std::uint64_t seed, std::uint32_t epoch,
                        int view) {
    return data::draw_views(rows, recipe, seed, epoch, view, {32, 32});
  };
  const auto all = draw(rows_to(50), 7, 3, 0);
  const std::vector<std::int64_t> some{41, 3, 3, 17};
  const auto few = draw(some, 7, 3, 0);
  for (std::size_t i = 0; i < some.size(); ++i)
    CHECK(text_of(few[i]) == text_of(all[static_cast<std::size_t>(some[i])]));

  std::set<std::string> texts;
  for (const auto& [seed, epoch, view] : {std::tuple{7u, 3u, 0}, std::tuple{8u, 3u, 0}, std::tuple{7u, 4u, 0},
                                          std::tuple{7u, 3u, 1}, std::tuple{7u, 3u, 15}})
    for (const View& drawn : draw(rows_to(50), seed, epoch, view)) texts.insert(text_of(drawn));
  CHECK(texts.size() == 5 * 50);
}

TEST_CASE("what one setting of a recipe changes leaves the other draws alone", "[data][views]") {
  const data::ViewRecipe all{.name = "all",
                             .views = {{.jitter = 1, .grayscale = 1, .blur = 1, .solarize = 1}}};
  data::ViewRecipe none{.name = "none", .views = {{.jitter = 0, .grayscale = 0, .blur = 0, .solarize = 0}}};
  const auto with = data::draw_views(rows_to(100), all, 1, 0, 0, {32, 32});
  const auto without = data::draw_views(rows_to(100), none, 1, 0, 0, {32, 32});
  none.views[0].blur = 1;
  const auto blurred = data::draw_views(rows_to(100), none, 1, 0, 0, {32, 32});
  for (std::size_t i = 0; i < with.size(); ++i) {
    CHECK(with[i].steps[6].op == ViewOperator::solarize);
    CHECK(with[i].steps[5].op == ViewOperator::blur);
    CHECK(with[i].steps[5].amount == blurred[i].steps[0].amount);
    CHECK(without[i].steps[0].op == ViewOperator::none);
    CHECK((with[i].top == without[i].top && with[i].width == without[i].width &&
           with[i].flip == without[i].flip));
  }
}

TEST_CASE("crops are those of torchvision's RandomResizedCrop", "[data][views]") {
  const std::int64_t n = 40000;
  const data::ViewRecipe recipe{.name = "crops", .views = {{}}};
  double sides = 0, whole = 0, least = 32, aspects = 0;
  for (const View& view : data::draw_views(rows_to(n), recipe, 1, 0, 0, {32, 32})) {
    REQUIRE(
        (view.top >= 0 && view.left >= 0 && view.top + view.height <= 32 && view.left + view.width <= 32));
    sides += (view.height + view.width) / 2.0;
    least = std::min<double>(least, std::min(view.height, view.width));
    whole += view.height == 32 && view.width == 32;
    aspects += std::log(static_cast<double>(view.width) / view.height);
  }
  const auto count = static_cast<double>(n);
  CHECK(least == 8);
  // Of four million crops drawn in that way by NumPy: 21.688, with a deviation of 5.91.
  CHECK(std::abs(sides / count - 21.688) < 4 * 5.91 / std::sqrt(count));
  CHECK(is_share(whole, 0.00213, count));
  CHECK(std::abs(aspects / count) < 4 * 0.161 / std::sqrt(count));  // symmetric; the deviation of a logarithm

  // Too elongated for any crop of nearly all of it: the central one.
  const data::ViewRecipe most{.name = "most", .views = {{.least_area = 1}}};
  for (const View& view : data::draw_views(rows_to(20), most, 1, 0, 0, {10, 100}))
    CHECK((view.top == 0 && view.height == 10 && view.width == 13 && view.left == 43));
  for (const View& view : data::draw_views(rows_to(20), most, 1, 0, 0, {100, 10}))
    CHECK((view.left == 0 && view.width == 10 && view.height == 13 && view.top == 43));
}

TEST_CASE("steps come as often as the recipe says, and colours in every order", "[data][views]") {
  const std::int64_t n = 24000;
  const auto count = static_cast<double>(n);
  const data::ViewRecipe recipe{.name = "steps",
                                .views = {{.flip = 0.3, .grayscale = 0.2, .blur = 0.1, .solarize = 0.4}}};
  std::map<ViewOperator, double> found;
  std::map<std::array<ViewOperator, 4>, double> orders;
  double flips = 0;
  const std::map<ViewOperator, std::pair<float, float>> ranges{
      {ViewOperator::brightness, {0.6f, 1.4f}}, {ViewOperator::contrast, {0.6f, 1.4f}},
      {ViewOperator::saturation, {0.8f, 1.2f}}, {ViewOperator::hue, {-0.1f, 0.1f}},
      {ViewOperator::blur, {0.1f, 2}},          {ViewOperator::solarize, {128, 128}},
      {ViewOperator::grayscale, {0, 0}}};
  std::map<ViewOperator, double> sums;
  for (const View& view : data::draw_views(rows_to(n), recipe, 5, 2, 1, {32, 32})) {
    flips += view.flip;
    if (has(view, ViewOperator::hue))
      ++orders[{view.steps[0].op, view.steps[1].op, view.steps[2].op, view.steps[3].op}];
    for (const math::ViewStep& step : view.steps) {
      if (step.op == ViewOperator::none) continue;
      ++found[step.op];
      sums[step.op] += step.amount;
      CHECK((step.amount >= ranges.at(step.op).first && step.amount <= ranges.at(step.op).second));
    }
  }
  CHECK(is_share(flips, 0.3, count));
  CHECK(is_share(found[ViewOperator::brightness], 0.8, count));
  CHECK(is_share(found[ViewOperator::grayscale], 0.2, count));
  CHECK(is_share(found[ViewOperator::blur], 0.1, count));
  CHECK(is_share(found[ViewOperator::solarize], 0.4, count));
  REQUIRE(orders.size() == 24);
  for (const auto& [order, times] : orders) CHECK(is_share(times, 0.8 / 24, count));
  for (const auto& [op, range] : ranges) {  // uniform: the mean, whose deviation is width / sqrt(12 n)
    const double width = range.second - range.first, mean = (range.first + range.second) / 2;
    CHECK(std::abs(sums[op] / found[op] - mean) <= 4 * width / std::sqrt(12 * found[op]) + 1e-6);
  }
}
