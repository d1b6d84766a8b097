// Where memory runs out: what is said is measured, and what is advised fits.
#include <cmath>

#include "catch.h"
#include "core/backend.h"
#include "core/base/table.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "program.h"
#include "train/memory_advice.h"
#include "train/objectives/classification.h"

namespace lamina::tests {

using namespace train;
namespace {

struct Model {
  const char* name;
  Stem stem;
  int size;  // of the images
  std::int64_t images;
};

ImageWork training_of(ResNet& net, int size, std::int64_t images) {
  const auto run = [&net, size](std::int64_t count) {
    const data::Part part{.views = {Tensor::zeros({count, size, size, 3})},
                          .labels = Tensor::zeros({count}, {DType::i32}),
                          .batch_samples = count};
    Classification objective(net);
    accumulate_gradients(objective, part, Tensor::zeros({2}));
  };
  return {.device = {},
          .request = "--batch",
          .option = "--micro-batch",
          .images = images,
          .batch = images,
          .run = run};
}

double peak_of(const ImageWork& work, std::int64_t images) {
  Allocator& allocator = cpu_backend().allocator();
  allocator.reset_peak();
  work.run(images);
  return static_cast<double>(allocator.use().peak_bytes);
}

// The text between two others.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string::npos) return "";
  const std::size_t start = begin + before.size();
  return text.substr(start, text.find(after, start) - start);
}

// As --memory-limit has it, for 64 images of the tiny training.
constexpr const char* little_memory = "0.0083";

}  // namespace

TEST_CASE("memory grows with the number of images as measured on few of them") {
  set_threads(2);
  for (const auto& [name, stem, size, images] :
       {Model{"resnet8", Stem::cifar, 8, 2000}, Model{"resnet20", Stem::cifar, 16, 300},
        Model{"resnet18", Stem::cifar, 16, 100}, Model{"resnet50", Stem::imagenet, 64, 50}}) {
    INFO(name);
    ResNet net(name, {.stem = stem, .seed = 1});
    const ImageWork work = training_of(net, size, images);
    // Temporary memory that still grows with the first images makes it too much; a peak that moves to another
    // layer as they become more, too little.
    CHECK(std::abs(measure_need(work).of(images) / peak_of(work, images) - 1) < 0.1);
  }
}

TEST_CASE("a batch is cut into equal parts, or parts of a power of two") {
  CHECK(convenient_size(16384, 2600) == 2048);
  CHECK(convenient_size(1000, 700) == 500);
  CHECK(convenient_size(1000, 176) == 125);
  CHECK(convenient_size(997, 300) == 256);
  CHECK(convenient_size(128, 1) == 1);
  CHECK(convenient_size(7, 3) == 2);
}

TEST_CASE("sizes are said in units that people read") {
  CHECK(format_bytes(512) == "0.5 KiB");
  CHECK(format_bytes(1.5 * (1 << 20)) == "1.5 MiB");
  CHECK(format_bytes(93.1 * (1 << 30)) == "93.1 GiB");
}

TEST_CASE("a step that does not fit says which --micro-batch does, and that one trains") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Arguments training =
      tiny_training(out, 1) + Arguments{"--batch", "192", "--memory-limit", little_memory};
  const Outcome refused = run(training);
  INFO(refused.err);
  CHECK(refused.status == 1);
  CHECK(refused.err.find("lamina: --batch 192: out of memory: this needs about ") != std::string::npos);
  CHECK(refused.err.find("8.5 MiB are available on cpu") != std::string::npos);
  const std::string size = between(refused.err, "; --micro-batch ", " needs ");
  REQUIRE(!size.empty());
  CHECK(192 % std::stoi(size) == 0);
  CHECK(refused.err.find(" and fits\n") != std::string::npos);
  CHECK(!fs::exists(out));

  const Outcome fits = run(training + Arguments{"--micro-batch", size});
  INFO(fits.err);
  CHECK(fits.status == 0);
  // The next larger part would not fit, or the advice gives memory away.
  std::string larger;
  for (int images = std::stoi(size) + 1; larger.empty(); ++images)
    if (192 % images == 0) larger = std::to_string(images);
  const Outcome too_large =
      run(training + Arguments{"--micro-batch", larger, "--out", (folder / "larger").string()});
  INFO(too_large.err);
  CHECK(too_large.status == 1);
  CHECK(too_large.err.find("lamina: --micro-batch " + larger + ": out of memory") != std::string::npos);
}

TEST_CASE("where not even two images fit there is no advice to split") {
  Allocator& allocator = cpu_backend().allocator();
  ResNet net("resnet8", {.seed = 1});
  const ImageWork work = training_of(net, 64, 8);
  allocator.set_limit(allocator.use().live_bytes +
                      100'000);  // a fifth of what the first layer's output takes
  std::string message;
  try {
    work.run(8);
  } catch (const OutOfMemory& error) {
    message = explain(error, work).what();
  }
  allocator.set_limit(std::numeric_limits<std::size_t>::max());
  INFO(message);
  CHECK(message.find("not even two images") != std::string::npos);
  CHECK(message.find("--micro-batch") == std::string::npos);
  CHECK(message.find("smaller model") != std::string::npos);
}

TEST_CASE("eval and bench train say what fits, too") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(run(tiny_training(out, 1)).status == 0);
  const Arguments commands[] = {
      {"eval", out.string(), "--data", "synthetic:8x8x3x4", "--batch", "500", "--memory-limit", "0.004"},
      {"bench", "train", "--model", "resnet8", "--image-size", "8", "--batch", "256", "--memory-limit",
       "0.01", "--steps", "1"}};
  for (const Arguments& command : commands) {
    const Outcome refused = run(command);
    INFO(refused.err);
    CHECK(refused.status == 1);
    const std::string flag = command[0] == "eval" ? "--batch" : "--micro-batch";
    const std::string size = between(refused.err, "; " + flag + " ", " needs ");
    REQUIRE(!size.empty());
    CHECK(run(command + Arguments{flag, size}).status == 0);
  }
}

TEST_CASE("a batch that a loader's worker has no memory for is out of memory as any") {
  Allocator& allocator = cpu_backend().allocator();
  const data::Dataset data = data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 64, .test = 8});
  const data::Loader loader(data.train, {.batch = 64, .workers = 1, .seed = 1});
  allocator.set_limit(allocator.use().live_bytes + 1000);
  CHECK_THROWS_AS(loader.epoch(0).begin(), OutOfMemory);
  allocator.set_limit(std::numeric_limits<std::size_t>::max());
  CHECK(loader.epoch(0).begin()->images().size(0) == 64);
}

}  // namespace lamina::tests
