// `lamina bench views`: the time of a view of each recipe, on one thread of the CPU, as a loader's worker
// makes it: drawn, made and normalised.
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/bench/bench.h"
#include "core/base/table.h"
#include "core/random.h"
#include "data/view_recipes.h"

namespace lamina::app {
namespace {

struct BenchViews {
  std::int64_t batch = 128;
  int image_size = 32, repeat = 10;
  bool json = false;
};

// Smooth, as photographs are: no operator may be spared by flat colours, nor find only noise.
Tensor smooth_images(std::int64_t count, std::int64_t size) {
  Tensor images = Tensor::empty({count, size, size, 3}, {DType::u8});
  std::uint8_t* pixel = images.data<std::uint8_t>();
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t y = 0; y < size; ++y)
      for (std::int64_t x = 0; x < size; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          *pixel++ = static_cast<std::uint8_t>((x * (i % 7 + c) + y * (i % 5 + 1)) * 255 / (12 * size));
  return images;
}

nlohmann::json measure(const BenchViews& command) {
  const SerialScope serial;
  const Tensor images = smooth_images(command.batch, command.image_size);
  const std::vector<float> mean(3, 0.5f), std(3, 0.25f);
  std::vector<std::int64_t> samples(static_cast<std::size_t>(command.batch));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  std::vector<Crop> whole(samples.size());
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i].source = static_cast<std::int32_t>(i);
  Tensor out = Tensor::empty(images.shape());
  std::vector<Body> bodies;
  std::vector<std::uint32_t> epochs(data::view_recipes().size());
  for (std::size_t r = 0; r < epochs.size(); ++r)
    bodies.emplace_back([&, r] {
      const data::ViewRecipe& recipe = data::view_recipes()[r];
      for (int view = 0; view < 2; ++view) {
        const auto views = data::draw_views(samples, recipe, 1, epochs[r], view,
                                            {.height = command.image_size, .width = command.image_size});
        const Tensor made = data::make_views(images, views, command.image_size, command.image_size);
        cpu_backend().crop_images(made, whole, mean, std, out);
      }
      ++epochs[r];
    });
  const auto times = time_in_turn(Device::cpu(), {.count = command.repeat}, bodies);
  nlohmann::json rows = nlohmann::json::array();
  for (std::size_t r = 0; r < epochs.size(); ++r) {
    const double views = 2 * static_cast<double>(command.batch);
    rows.push_back({{"recipe", data::view_recipes()[r].name},
                    {"view_ms", times[r].median() / views},
                    {"least_view_ms", times[r].least() / views}});
  }
  return {{"image_size", command.image_size}, {"batch", command.batch}, {"views", rows}};
}

void print_view_times(const nlohmann::json& result) {
  Table table({"recipe", "ms a view", "at least"});
  for (const nlohmann::json& row : result["views"])
    table.add({row["recipe"].get<std::string>(), fmt::format("{:.4f}", row["view_ms"].get<double>()),
               fmt::format("{:.4f}", row["least_view_ms"].get<double>())});
  fmt::print("{}", table.str());
}

int run_bench_views(const BenchViews& command) {
  return show(measure(command), command.json, print_view_times);
}

}  // namespace

void add_bench_views(const Command& bench) {
  const Command views = bench.add("views", "Time of a view of each recipe, on one thread");
  auto command = std::make_shared<BenchViews>();
  views.option("--batch", command->batch, "images", between(1, 1e9));
  views.option("--image-size", command->image_size, "height and width of the images",
               between(1, train::most_pixels_a_side));
  views.option("--repeat", command->repeat, "measurements, of which the median is shown", between(1, 1e9));
  views.option("--json", command->json, "one JSON object on standard output, nothing else");
  views.runs([command] { return run_bench_views(*command); });
}

}  // namespace lamina::app
