// Views on a GPU: the CPU's pixels.
#include <cmath>

#include "bf16_tensors.h"
#include "data/view_recipes.h"
#include "view_cases.h"

namespace lamina::tests {
namespace {

Tensor random_pixels(const Shape& shape) {
  Tensor pixels = Tensor::empty(shape, {DType::u8});
  Draw draw(5);
  for (std::int64_t i = 0; i < pixels.elements(); ++i)
    pixels.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(draw.below(256));
  return pixels;
}

void compare_views(const Tensor& images, const std::vector<View>& views, std::int64_t height,
                   std::int64_t width) {
  const Tensor expected = data::make_views(images, views, height, width);
  const Tensor found = data::make_views(images.to(Device::cuda()), views, height, width);
  CHECK(found.device() == Device::cuda());
  CHECK(same_bits(found, expected));
}

}  // namespace

TEST_CASE("views have the CPU's pixels bit for bit", "[cuda][views]") {
  for (const ViewCase& row : view_cases()) {
    INFO(row.name);
    compare_views(view_test_image(), {row.view}, row.height, row.width);
  }
  const std::vector<std::int64_t> rows{4, 0, 1, 2, 3, 4, 0, 1};
  for (const std::int64_t channels : {3, 1}) {
    const Tensor images = random_pixels({5, 19, 23, channels});
    for (const data::ViewRecipe& recipe : data::view_recipes())
      for (int view = 0; view < 4; ++view) {
        INFO(recipe.name << " view " << view << " channels " << channels);
        const auto views = data::draw_views(rows, recipe, 3, 1, view, {19, 23});
        compare_views(images, views, 19, 23);
        compare_views(images, views, 11, 40);
      }
  }
  compare_views(view_test_image(), {}, 8, 8);
}

}  // namespace lamina::tests
