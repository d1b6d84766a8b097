// A loader's transform: what it is given, what may come of it, and that nothing else decides the result.
#include "data/transform.h"

#include <mutex>
#include <set>

#include "core/random.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

data::Split images_to_transform() {
  return data::synthetic({.classes = 3, .height = 6, .width = 5, .train = 30, .test = 1}, quiet()).train;
}

// Adds noise to every pixel, and cuts the image's last row off.
Tensor noisy(Tensor image, const Random& random) {
  Tensor result = Tensor::empty({image.size(0) - 1, image.size(1), image.size(2)}, image.options());
  for (std::int64_t i = 0; i < result.elements(); ++i) {
    const std::uint32_t noise = random.below(static_cast<std::uint32_t>(i), 256);
    result.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(image.data<std::uint8_t>()[i] + noise);
  }
  return result;
}

// Of all views of an epoch, from a batch on, by batch.
std::vector<std::vector<float>> batches_of(const data::Split& split, const data::LoaderOptions& options,
                                           std::int64_t first_batch = 0) {
  std::vector<std::vector<float>> batches;
  const data::Loader loader(split, options);
  for (const data::Part& part : loader.epoch(3, Device::cpu(), first_batch)) {
    auto& batch = batches.emplace_back();
    for (const Tensor& view : part.views) {
      const auto values = view.to_vector<float>();
      batch.insert(batch.end(), values.begin(), values.end());
    }
  }
  return batches;
}

}  // namespace

TEST_CASE("a transform may take the image alone, or none may be there", "[data][transform]") {
  const data::LoaderOptions of_image{.transform = [](Tensor t) { return t; }};
  const data::LoaderOptions of_both{.transform = noisy};
  const data::LoaderOptions empty{.transform = std::function<Tensor(Tensor)>()};
  CHECK(of_image.transform);
  CHECK(of_both.transform);
  CHECK_FALSE(empty.transform);
  CHECK_FALSE(data::LoaderOptions{}.transform);
  const data::Split split = images_to_transform();
  const auto with = [&](data::ImageTransform transform) {
    return batches_of(split, {.batch = 8,
                              .augment = {.padding = 2, .flip = true, .cutout = 3},
                              .transform = std::move(transform),
                              .seed = 1});
  };
  CHECK(with([](const Tensor& t) { return t; }) == with({}));  // crops, mirrors and cutouts are the same ones
  CHECK(with([](Tensor t) {
          t.fill(7);
          return t;
        }) != with({}));
  CHECK(split.images.data<std::uint8_t>()[0] == images_to_transform().images.data<std::uint8_t>()[0]);
}

TEST_CASE("a transform's images are augmented and normalised as the split's are", "[data][transform]") {
  const data::Split split = images_to_transform();
  const data::Loader loader(split, {.batch = 30, .transform = noisy, .shuffle = false, .seed = 9});
  const data::Part part = *loader.epoch(2).begin();
  REQUIRE(part.images().shape() == Shape{30, 5, 5, 3});
  for (std::int64_t row = 0; row < 30; ++row) {
    const Random random{9, Stream::user, 2, static_cast<std::uint32_t>(row)};
    const Bytes expected = noisy(split.get(row).image, random).to_vector<std::uint8_t>();
    const float* values = part.images().rows(row, 1).data<float>();
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(values[i] == (static_cast<float>(expected[i]) / 255.0f - split.mean[i % 3]) / split.std[i % 3]);
  }
}

TEST_CASE("a transform's numbers depend on seed, epoch, sample and view alone", "[data][transform]") {
  const data::Split split = images_to_transform();
  const auto with = [&](int workers, std::uint64_t seed = 5, std::int64_t first_batch = 0, int views = 3) {
    return batches_of(split,
                      {.batch = 7,
                       .augment = data::standard(),
                       .transform = noisy,
                       .views = views,
                       .workers = workers,
                       .seed = seed},
                      first_batch);
  };
  const auto expected = with(0);
  for (const int workers : {1, 3}) CHECK(with(workers) == expected);
  for (std::int64_t first = 1; first < 5; ++first)
    CHECK(with(2, 5, first) == std::vector(expected.begin() + first, expected.end()));
  CHECK(with(0, 6) != expected);
  std::mutex mutex;
  std::set<std::uint32_t> draws;
  const auto record = [&](Tensor image, const Random& random) {
    const std::lock_guard lock(mutex);
    draws.insert(random.bits(0));
    return image;
  };
  const data::Loader loader(split, {.batch = 10, .transform = record, .views = 16, .seed = 5});
  for (const int epoch : {0, 1})
    for (const data::Part& part : loader.epoch(epoch)) CHECK(part.views.size() == 16);
  CHECK(draws.size() > 16 * 2 * 30 - 2);  // all differ, but for one in 2^32
}

TEST_CASE("a transform that gives no image of the split's kind is named with its row", "[data][transform]") {
  const data::Split split = images_to_transform();
  const auto epoch_with = [&](data::ImageTransform transform, int workers = 0) {
    return [&split, transform, workers] {
      const data::Loader loader(
          split, {.batch = 10, .transform = transform, .shuffle = false, .workers = workers, .seed = 5});
      for (const data::Part& part : loader.epoch(1)) CHECK(part.size() == 10);
    };
  };
  const auto gives = [](const Tensor& result) { return [result](const Tensor&) { return result; }; };
  const auto u8 = [](const Shape& shape) { return Tensor::zeros(shape, {.dtype = DType::u8}); };
  check_error(epoch_with(gives(Tensor::zeros({6, 5, 3}))),
              {"loader: epoch 1, batch 0", "row 0", "f32[6, 5, 3]", "expected u8 [H, W, 3]"});
  check_error(epoch_with(gives(u8({6, 5, 1}))), {"row 0", "u8[6, 5, 1]"});
  check_error(epoch_with(gives(u8({1, 6, 5, 3}))), {"row 0", "u8[1, 6, 5, 3]"});
  check_error(epoch_with(gives(u8({0, 5, 3}))), {"row 0"});
  check_error(epoch_with(gives({})), {"row 0", "undefined"});
  for (const int workers : {0, 2}) {
    int calls = 0;
    std::mutex mutex;
    const auto grows = [&](const Tensor& image, const Random& random) {
      const std::lock_guard lock(mutex);
      ++calls;
      return random.sample == 13 ? u8({6, 7, 3}) : image;
    };
    check_error(epoch_with(grows, workers), {"loader: epoch 1, batch 1", "row 13", "6×7", "expected 6×5"});
  }
  check_error(epoch_with([](Tensor image) -> Tensor {
                if (image.defined()) throw std::runtime_error("no such file");
                return image;
              }),
              {"loader: epoch 1, batch 0", "no such file"});
}
