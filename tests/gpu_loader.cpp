// Batches for a GPU, emulated or not: from images that are there, and from others.
#include "data/loader.h"

#include <limits>

#include "catch.h"
#include "core/memory/allocator.h"
#include "gpu_images.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "train/objectives/classification.h"
#include "train/setup.h"

namespace lamina::tests {

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
