// `lamina augment`: what a network sees of the first images, as a contact sheet. A row is an image: as it is,
// and then views of each kind of the recipe, of as many epochs.
#include <algorithm>
#include <memory>
#include <numeric>

#include "apps/commands.h"
#include "apps/view_table.h"
#include "core/base/error.h"
#include "data/images/write_png.h"
#include "data/view_recipes.h"

namespace lamina::app {
namespace {

struct AugmentCommand {
  std::string data, views, grid;
  std::int64_t images = 8;
  int draws = 4, image_size = 0;
  std::uint64_t seed = 1;
};

void check_options(const AugmentCommand& command) {
  if (command.data.empty()) fail_usage("augment: --data NAME[:DIR] is missing: whose images to show");
  if (command.images < 1) fail_usage("--images {}: expected at least 1", command.images);
  if (command.draws < 1 || command.draws > 100) fail_usage("--draws {}: expected 1 to 100", command.draws);
}

// Images of one size in rows and columns, enlarged by whole factors until they can be looked at.
class ContactSheet {
 public:
  ContactSheet(std::int64_t rows, std::int64_t columns, const Shape& image)
      : image_(image), scale_(std::max<std::int64_t>(1, 96 / std::max(image[0], image[1]))) {
    const std::int64_t height = rows * step(0) + gap, width = columns * step(1) + gap;
    check(height <= 32768 && width <= 32768,
          "augment: a sheet of {}×{} images of {}×{} pixels is too large; show fewer", rows, columns,
          image[0], image[1]);
    sheet_ = Tensor::full({height, width, image[2]}, 255, {.dtype = DType::u8});
  }

  // u8 [H, W, C].
  void put(std::int64_t row, std::int64_t column, const std::uint8_t* image) {
    const std::int64_t channels = image_[2], top = gap + row * step(0), left = gap + column * step(1);
    for (std::int64_t y = 0; y < image_[0] * scale_; ++y)
      for (std::int64_t x = 0; x < image_[1] * scale_; ++x) {
        const std::uint8_t* pixel = image + (y / scale_ * image_[1] + x / scale_) * channels;
        std::copy_n(pixel, channels,
                    sheet_.data<std::uint8_t>() + ((top + y) * sheet_.size(1) + left + x) * channels);
      }
  }
  const Tensor& pixels() const { return sheet_; }

 private:
  static constexpr std::int64_t gap = 4;
  std::int64_t step(int axis) const { return image_[axis] * scale_ + gap; }

  Shape image_;
  std::int64_t scale_;
  Tensor sheet_;
};

Tensor draw_sheet(const AugmentCommand& command, const data::ViewRecipe& recipe, const data::Split& split) {
  const std::int64_t rows = std::min(command.images, split.size());
  const auto kinds = static_cast<int>(recipe.views.size());
  const Shape image{split.height(), split.width(), split.channels()};
  ContactSheet sheet(rows, 1 + kinds * command.draws, image);
  const auto column = [&](std::int64_t place, const Tensor& images) {
    for (std::int64_t row = 0; row < rows; ++row)
      sheet.put(row, place, images.data<std::uint8_t>() + row * image.elements());
  };
  column(0, split.images);
  std::vector<std::int64_t> samples(static_cast<std::size_t>(rows));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  for (int kind = 0; kind < kinds; ++kind)
    for (int epoch = 0; epoch < command.draws; ++epoch) {
      const auto views = data::draw_views(samples, recipe, command.seed, static_cast<std::uint32_t>(epoch),
                                          kind, {.height = image[0], .width = image[1]});
      column(1 + kind * command.draws + epoch, data::make_views(split.images, views, image[0], image[1]));
    }
  return sheet.pixels();
}

int run_augment(const AugmentCommand& command) {
  check_options(command);
  const data::ViewRecipe* recipe = command.views.empty() ? nullptr : &data::find_view_recipe(command.views);
  const data::Dataset data = data::open(command.data, {.limit_test = 1, .image_size = command.image_size});
  const data::Split& split = data.train;
  check(split.size() > 0, "augment: {} has no training images", data.name);
  if (recipe == nullptr) recipe = &data::default_view_recipe("barlow-twins", split.height());
  data::check_view_recipe(*recipe, split.channels());
  fmt::print("{}", view_text(*recipe));
  if (command.grid.empty()) return 0;
  data::write_png(command.grid, draw_sheet(command, *recipe, split));
  fmt::print(
      "\n{}: a row for each of the first {} training images of {}: the image, then {} views of each kind; "
      "seed {}\n",
      command.grid, std::min(command.images, split.size()), data.name, command.draws, command.seed);
  return 0;
}

}  // namespace

void add_augment_command(const Command& program) {
  const Command augment =
      program.add("augment", "What a network sees of augmented images, as a contact sheet");
  auto command = std::make_shared<AugmentCommand>();
  augment.option("--data", command->data, "whose training images to show", "NAME[:DIR]");
  augment.option("--views", command->views,
                 "a recipe of lamina info --views; default: Barlow Twins' for images of that size", "RECIPE");
  augment.option("--grid", command->grid, "PNG file to write; default: none, the recipe is printed alone",
                 "FILE");
  augment.option("--images", command->images, "rows: training images, from the first");
  augment.option("--draws", command->draws, "views of each kind and image");
  augment.option("--image-size", command->image_size, "folders: resize and crop to a square; 0: keep");
  augment.option("--seed", command->seed, "of the views");
  augment.runs([command] { return run_augment(*command); });
}

}  // namespace lamina::app
