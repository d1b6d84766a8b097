// lamina augment and the recipes of views: a sheet of the pixels that a loader makes, and what is refused.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "data/images/image.h"
#include "data/sets/synthetic.h"
#include "data/view_recipes.h"
#include "program.h"

namespace lamina::tests {
namespace {

Arguments augment(const fs::path& grid, const Arguments& more = {}) {
  return Arguments{"augment",  "--data", "synthetic:8x8x3x4", "--views", "tvlars", "--grid", grid.string(),
                   "--images", "3",      "--draws",           "2"} +
         more;
}

// One image of a sheet, which has it 12 times enlarged: [8, 8, 3].
std::vector<std::uint8_t> sheet_cell(const Tensor& sheet, std::int64_t row, std::int64_t column) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t y = 0; y < 8; ++y)
    for (std::int64_t x = 0; x < 8; ++x) {
      const std::int64_t top = 4 + 100 * row + 12 * y, left = 4 + 100 * column + 12 * x;
      const std::uint8_t* pixel = sheet.data<std::uint8_t>() + (top * sheet.size(1) + left) * 3;
      pixels.insert(pixels.end(), pixel, pixel + 3);
    }
  return pixels;
}

}  // namespace

TEST_CASE("augment draws images beside their views") {
  const TemporaryFolder folder;
  const Outcome outcome = run(augment(folder / "a.png"));
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(outcome.out.find("KhoiDOO/tvlars@b331dcf") != std::string::npos);
  const Tensor sheet = data::decode_image(folder / "a.png");
  REQUIRE(sheet.shape() == Shape{3 * 100 + 4, 5 * 100 + 4, 3});

  const data::Split train = data::open("synthetic:8x8x3x4").train;
  const std::vector<std::int64_t> rows{0, 1, 2};
  for (int kind = 0; kind < 2; ++kind)
    for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
      const auto views = data::draw_views(rows, data::find_view_recipe("tvlars"), 1, epoch, kind, {8, 8});
      const Tensor made = data::make_views(train.images, views, 8, 8);
      for (std::int64_t row = 0; row < 3; ++row)
        CHECK(sheet_cell(sheet, row, 1 + 2 * kind + epoch) == made.rows(row, 1).to_vector<std::uint8_t>());
    }
  for (std::int64_t row = 0; row < 3; ++row)
    CHECK(sheet_cell(sheet, row, 0) == train.images.rows(row, 1).to_vector<std::uint8_t>());

  REQUIRE(run(augment(folder / "same.png")).status == 0);
  CHECK(read_file(folder / "same.png") == read_file(folder / "a.png"));
  REQUIRE(run(augment(folder / "other.png", {"--seed", "2"})).status == 0);
  CHECK(read_file(folder / "other.png") != read_file(folder / "a.png"));
}

TEST_CASE("augment without a file tells what the recipe is") {
  const Outcome outcome = run({"augment", "--data", "synthetic:8x8x3x4"});
  CHECK(outcome.status == 0);
  CHECK(outcome.out.starts_with("solo-learn-barlow\n"));
}

TEST_CASE("augment refuses what it cannot draw, and leaves no half of a file") {
  const TemporaryFolder folder;
  const auto refused = [&](const Arguments& arguments, int status, const std::string& part) {
    const Outcome outcome = run(arguments);
    INFO(outcome.err);
    CHECK(outcome.status == status);
    CHECK(outcome.err.find(part) != std::string::npos);
  };
  refused({"augment", "--views", "tvlars"}, 2, "--data NAME[:DIR] is missing");
  refused(augment(folder / "a.png", {"--views", "tvlar"}), 2, "did you mean tvlars?");
  refused(augment(folder / "a.png", {"--images", "0"}), 2, "--images 0");
  refused(augment(folder / "a.png", {"--draws", "0"}), 2, "--draws 0");
  refused(augment(folder / "none" / "a.png"), 1, "a.png");
  const Outcome full = run(augment(folder / "a.png"), {.largest_file = 1000});
  CHECK(full.status == 1);
  CHECK(fs::is_empty(folder.path()));
  refused({"train", "--data", "synthetic", "--augment", "solo-learn-simcrl"}, 2,
          "did you mean solo-learn-simclr?");
  refused({"train", "--data", "synthetic", "--normalise", "imagnet"}, 2, "did you mean imagenet?");
}

TEST_CASE("info lists the recipes of views") {
  const Outcome text = run({"info", "--views"});
  CHECK(text.status == 0);
  const auto json = nlohmann::json::parse(run({"info", "--views", "--json"}).out)["views"];
  REQUIRE(json.size() == data::view_recipes().size());
  for (const auto& recipe : json) {
    CHECK(text.out.find(recipe["name"].get<std::string>()) != std::string::npos);
    CHECK(text.out.find(recipe["source"].get<std::string>()) != std::string::npos);
  }
  CHECK(run({"info", "--views", "--presets"}).status == 2);
}

}  // namespace lamina::tests
