// Batches for a GPU, emulated or not: from images that are there, and from others.
#include "data/loader.h"

#include <limits>

#include "catch.h"
#include "core/memory/allocator.h"
#include "data/view_recipes.h"
#include "gpu_images.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "train/objectives/classification.h"
#include "train/setup.h"

namespace lamina::tests {

namespace {

// All views of two epochs; nothing waits for the GPU before the last batch has been handed out.
std::vector<std::vector<float>> all_views(const data::Split& split, const data::LoaderOptions& options) {
  std::vector<Tensor> handed_out;
  const data::Loader loader(split, options);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const data::Part& part : loader.epoch(epoch, Device::cuda())) {
      for (const Tensor& view : part.views) handed_out.push_back(view);
      CHECK(part.images().device() == Device::cuda());
    }
  }
  std::vector<std::vector<float>> found;
  for (const Tensor& view : handed_out) found.push_back(view.to_vector<float>());
  return found;
}

}  // namespace

TEST_CASE("batches of images that are not on the GPU are those of images that are", "[cuda][loader]") {
  const data::Augment augment{.padding = 1, .flip = true, .cutout = 4};
  const data::ImageTransform half = [](Tensor image) { return image.rows(0, 4).clone(); };
  for (const int workers : {0, 3}) {
    for (const data::LoaderOptions& options :
         {data::LoaderOptions{.batch = 7, .augment = augment},
          {.batch = 16, .micro_batch = 5, .augment = augment, .views = 2},
          {.batch = 9, .recipe = data::default_view_recipe("simclr", 8), .views = 2},
          {.batch = 7, .augment = augment, .transform = half}}) {
      data::LoaderOptions same = options;
      same.workers = workers, same.seed = 3;
      const auto found = all_views(images().train, same), expected = all_views(on_gpu(images().train), same);
      CHECK(found.size() > 9);
      CHECK(found == expected);
      std::vector<std::vector<float>> cpu;
      const data::Loader loader(images().train, same);
      for (int epoch = 0; epoch < 2; ++epoch)
        for (const data::Part& part : loader.epoch(epoch))
          for (const Tensor& view : part.views) cpu.push_back(view.to_vector<float>());
      CHECK(found == cpu);
    }
  }
}

TEST_CASE("a batch that is larger than those before it finds room on its way to the GPU", "[cuda][loader]") {
  for (const std::int64_t batch : {3, 20, 40, 1, 40}) {
    CAPTURE(batch);
    CHECK(all_views(images().train, {.batch = batch, .seed = 1}) ==
          all_views(on_gpu(images().train), {.batch = batch, .seed = 1}));
  }
}

TEST_CASE("a transform's images come from a GPU and go there, and their mixup is refused", "[cuda]") {
  const auto first_of = [](const data::Split& split) {
    const data::Loader loader(split, {.batch = 20,
                                      .augment = {.padding = 1, .flip = true, .cutout = 4},
                                      .transform = [](Tensor image) { return image.rows(0, 6).clone(); },
                                      .workers = 2,
                                      .seed = 3});
    return *loader.epoch(0, Device::cuda()).begin();
  };
  const data::Part part = first_of(on_gpu(images().train));
  CHECK(part.images().device() == Device::cuda());
  CHECK(part.images().shape() == Shape{20, 6, 8, 3});
  CHECK(part.images().to_vector<float>() == first_of(images().train).images().to_vector<float>());
  ResNet net = resnet8({.classes = 4, .device = Device::cuda()});
  Classification objective(net, {.mixup = 1});
  CHECK(unexplained([&] { objective.loss(part); }, {"classification", "mixup needs", "on the CPU"}) ==
        "nothing");
}

TEST_CASE("images that would leave too little memory for training stay on the CPU", "[memory]") {
  Allocator& allocator = backend_for(Device::cuda()).allocator();
  const Tensor pixels = images().train.images;
  const auto place = [&](double times) {
    allocator.set_limit(allocator.use().live_bytes +
                        static_cast<std::size_t>(times * static_cast<double>(pixels.bytes())));
    const Tensor placed = train::place_images(pixels, Device::cuda());
    allocator.set_limit(std::numeric_limits<std::size_t>::max());
    return placed.device();
  };
  CHECK(place(2.5) == Device::cuda());
  CHECK(place(1.5) == Device::cpu());
}

}  // namespace lamina::tests
