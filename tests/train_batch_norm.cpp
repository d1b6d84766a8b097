// Parts of a batch that give a batch normalisation one value are found before the first step.
#include "catch.h"
#include "layers/layers.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

// Its second normalisation has one value for each image, its first 64.
class NormedPixels final : public Module {
 public:
  NormedPixels()
      : images_(&add_child<BatchNorm2d>("images", 3)),
        linear_(&add_child<Linear>("linear", 8 * 8 * 3, 4)),
        vectors_(&add_child<BatchNorm1d>("vectors", 4)) {
    initialise(*this, {}, 3);
  }
  std::string kind() const override { return "NormedPixels"; }
  BatchNorm1d& vectors() { return *vectors_; }

 private:
  Tensor forward(const Tensor& x) override {
    return (*vectors_)((*linear_)(reshape((*images_)(x), {x.size(0), 8 * 8 * 3})));
  }
  BatchNorm2d* images_;
  Linear* linear_;
  BatchNorm1d* vectors_;
};

std::string trained_with(Module& net, std::int64_t images, data::LoaderOptions options,
                         const std::filesystem::path& directory = {}, Observer* observer = nullptr) {
  options.workers = 0;
  options.seed = 3;
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.01});
  const data::HeldOut parted = data::hold_out(tiny_images().train, images);
  Trainer trainer(objective, optimizer, data::Loader(parted.held_out, options), {.directory = directory});
  if (observer != nullptr) trainer.observe(*observer);
  return message_of([&] { trainer.test(tiny_images().test).run(); });
}

}  // namespace

TEST_CASE("parts of one image are named by the option that makes them") {
  NormedPixels net;
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.01});
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  Trainer trainer(objective, optimizer, loader, {.sharpness_aware = SamOptions{.rho = 0.1, .m = 1}});
  CHECK(unexplained([&] { trainer.run(); }, {"sam_m 1:", "one value per channel", "a larger sam_m"}) ==
        "nothing");
}

TEST_CASE("a part of one image is refused where a batch normalisation has one value of it") {
  const Directory directory;
  const auto refused = [&](std::int64_t images, const data::LoaderOptions& options, const char* part,
                           const char* advice) {
    NormedPixels net;
    const std::string before = bits_of(net);
    const std::filesystem::path run = directory.file("run");
    CHECK(unexplained(
              [&] {
                const std::string message = trained_with(net, images, options, run);
                if (message != "(no error)") throw Error(message);
              },
              {part, "batch normalisation vectors one value per channel", "at least 2 values", advice}) ==
          "nothing");
    CHECK(bits_of(net) == before);
    CHECK(!std::filesystem::exists(run));
  };
  refused(8, {.batch = 1}, "batch 1 is a single image", "choose a larger batch");
  refused(8, {.batch = 4, .micro_batch = 1}, "micro_batch 1", "choose a larger micro_batch");
  refused(18, {.batch = 9, .micro_batch = 4},
          "batch 9, of 9 images, ends in a part of one, with micro_batch 4", "choose another micro_batch");
  refused(17, {.batch = 8}, "the last batch of an epoch, with batch 8 is a single image", "drop_last");
  refused(21, {.batch = 8, .micro_batch = 4}, "the last batch of an epoch, with batch 8, of 5 images",
          "another micro_batch");
}

TEST_CASE("parts of one image are trained where every batch normalisation has more values, or none trains") {
  const auto fine = [](Module& net, std::int64_t images, const data::LoaderOptions& options) {
    CHECK(trained_with(net, images, options) == "(no error)");
  };
  for (const std::int64_t micro_batch : {0, 4}) {
    NormedPixels net;
    fine(net, 17, {.batch = 8, .micro_batch = micro_batch, .drop_last = true});
  }
  ResNet spatial("resnet8", {.classes = 4, .seed = 3});  // 2 × 2 at its end
  fine(spatial, 5, {.batch = 4});
  PixelLinear none(4);
  fine(none, 5, {.batch = 4, .micro_batch = 1});

  NormedPixels fixed;
  Look look;
  look.on_start = [&](const TrainingRun&) { fixed.vectors().eval(); };
  CHECK(trained_with(fixed, 5, {.batch = 4}, {}, &look) == "(no error)");
}

}  // namespace lamina::tests
