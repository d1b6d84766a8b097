// Recipes of views, and loaders that follow them.
#include <cstring>

#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data/view_recipes.h"
#include "data_files.h"
#include "view_cases.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

data::Split images_for_views(int channels = 3) {
  return data::synthetic(
             {.classes = 3, .height = 12, .width = 10, .channels = channels, .train = 30, .test = 3}, quiet())
      .train;
}

// All views of an epoch, one after another.
std::vector<float> values_of(const data::Split& split, const data::LoaderOptions& options, int view = 0) {
  std::vector<float> values;
  for (const data::Part& part : data::Loader(split, options).epoch(2)) {
    const std::vector<float> more = part.view(view).to_vector<float>();
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

}  // namespace

TEST_CASE("a loader's views are the recipe's, normalised, with a square cut out", "[data][views]") {
  const data::Split split = images_for_views();
  data::ViewRecipe recipe = data::find_view_recipe("tvlars");
  for (const int size : {0, 9}) {
    recipe.size = size;
    const std::int64_t height = size > 0 ? size : 12, width = size > 0 ? size : 10;
    const data::Loader loader(
        split, {.batch = 30, .augment = {.cutout = 5}, .recipe = recipe, .views = 2, .seed = 11});
    for (const data::Part& part : loader.epoch(4))
      for (int v = 0; v < 2; ++v) {
        const auto views = data::draw_views(part.samples, recipe, 11, 4, v, {12, 10});
        const Tensor pixels = data::make_views(split.images, views, height, width);
        auto crops = data::crops(part.samples, {.cutout = 5}, 11, 4, v, {height, width});
        for (std::size_t i = 0; i < crops.size(); ++i) crops[i].source = static_cast<std::int32_t>(i);
        Tensor expected = Tensor::empty(pixels.shape());
        cpu_backend().crop_images(pixels, crops, split.mean, split.std, expected);
        CHECK(part.view(v).shape() == Shape{30, height, width, 3});
        CHECK(part.view(v).to_vector<float>() == expected.to_vector<float>());
      }
  }
}

TEST_CASE("views do not depend on workers, parts or the number of views", "[data][views]") {
  const data::Split split = images_for_views();
  const data::LoaderOptions options{
      .batch = 10, .recipe = data::find_view_recipe("solo-learn-barlow"), .workers = 0, .seed = 3};
  const std::vector<float> expected = values_of(split, options);
  data::LoaderOptions others = options;
  others.workers = 3, others.views = 2;
  CHECK(values_of(split, others) == expected);
  CHECK(values_of(split, others, 1) != expected);
  others.micro_batch = 4;
  CHECK(values_of(split, others) == expected);
  others.recipe.reset();
  CHECK(values_of(split, others) != expected);
}

TEST_CASE("views are made of what a transform gives", "[data][views]") {
  const data::Split split = images_for_views();
  const data::ImageTransform invert = [](Tensor image) {
    for (std::int64_t i = 0; i < image.elements(); ++i)
      image.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(255 - image.data<std::uint8_t>()[i]);
    return image;
  };
  data::Split inverted = split;
  inverted.images = split.images.clone();
  for (std::int64_t i = 0; i < inverted.images.elements(); ++i)
    inverted.images.data<std::uint8_t>()[i] =
        static_cast<std::uint8_t>(255 - inverted.images.data<std::uint8_t>()[i]);
  const data::ViewRecipe recipe = data::find_view_recipe("lightly-simclr");
  CHECK(values_of(split, {.batch = 10, .transform = invert, .recipe = recipe, .seed = 3}) ==
        values_of(inverted, {.batch = 10, .recipe = recipe, .seed = 3}));
}

TEST_CASE("grey images have views", "[data][views]") {
  const data::Split split = images_for_views(1);
  for (const data::ViewRecipe& recipe : data::view_recipes())
    CHECK(values_of(split, {.batch = 10, .recipe = recipe, .views = 2, .seed = 3}, 1).size() == 30 * 12 * 10);
}

TEST_CASE("view recipes have names, sources and settings in range", "[data][views]") {
  for (const data::ViewRecipe& recipe : data::view_recipes()) {
    INFO(recipe.name);
    data::check_view_recipe(recipe, 3);
    CHECK(recipe.source.find('@') != std::string::npos);
    CHECK(&data::find_view_recipe(recipe.name) == &recipe);
  }
  CHECK(data::find_view_recipe("barlow-twins").views.at(1).solarize == 0.2);
  check_error([] { data::find_view_recipe("solo-barlow"); },
              {"unknown views 'solo-barlow'", "did you mean solo-learn-barlow?"});

  CHECK(data::default_view_recipe("barlow-twins", 32).name == "solo-learn-barlow");
  CHECK(data::default_view_recipe("barlow-twins", 224).name == "barlow-twins");
  CHECK(data::default_view_recipe("simclr", 64).name == "solo-learn-simclr");
  CHECK(data::default_view_recipe("vicreg", 64).name == "solo-learn-vicreg");
  check_error([] { data::default_view_recipe("simcrl", 32); }, {"'simcrl'", "did you mean simclr?"});
}

TEST_CASE("known statistics replace the measured ones, in all splits", "[data][views]") {
  data::Dataset data = data::synthetic({.train = 20, .test = 10}, quiet());
  const std::vector<float> measured = data.mean();
  data::use_statistics(data, "data");
  CHECK(data.mean() == measured);
  data::use_statistics(data, "imagenet");
  CHECK(data.train.mean == std::vector<float>{0.485f, 0.456f, 0.406f});
  CHECK(data.test.std == std::vector<float>{0.229f, 0.224f, 0.225f});
  check_error([&] { data::use_statistics(data, "imagenett"); }, {"'imagenett'", "did you mean imagenet?"});
  data::Dataset grey = data::synthetic({.channels = 1, .train = 20, .test = 10}, quiet());
  check_error([&] { data::use_statistics(grey, "cifar10"); }, {"cifar10", "3 channels", "has 1"});
}

TEST_CASE("recipes and views out of range are refused", "[data][views]") {
  const data::Split split = images_for_views();
  const auto with = [&](const data::ViewRecipe& recipe) {
    return [&split, recipe] { data::Loader(split, {.batch = 5, .recipe = recipe}); };
  };
  check_error(with({.name = "mine"}), {"views mine", "no kind of view"});
  check_error(with({.name = "mine", .views = {{.flip = 1.5}}}), {"flip 1.5", "0 to 1"});
  check_error(with({.name = "mine", .views = {{.blur = -0.1}}}), {"blur -0.1"});
  check_error(with({.name = "mine", .views = {{.hue = 0.6}}}), {"hue 0.6", "0 to 0.5"});
  check_error(with({.name = "mine", .views = {{}, {.least_area = 0}}}), {"least_area 0"});
  check_error(with({.name = "mine", .views = {{}}, .size = -1}), {"a size of -1 pixels"});
  check_error([] { data::check_view_recipe(data::view_recipes()[0], 4); }, {"images of 4 channels"});

  const auto view = [](const View& one, std::int64_t height = 8) {
    return [one, height] { data::make_views(view_test_image(), {&one, 1}, height, 8); };
  };
  check_error(view(View{.source = 1}), {"view 0", "image 1", "0 to 0"});
  check_error(view(View{.top = -1}), {"rows -1"});
  check_error(view(View{.left = 30, .width = 3}), {"columns 30", "32×32"});
  check_error(view(View{.height = 0}), {"0×1 pixels"});
  check_error(view(View{}, 0), {"views of 0×8"});
}
