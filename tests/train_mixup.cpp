// Mixup: the loss by its definition, how λ and partners are drawn, and that a resumed run draws the same.
#include <cmath>
#include <numeric>
#include <set>

#include "catch.h"
#include "core/autograd.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/objectives/mixup.h"

namespace lamina::tests {
namespace {

data::Part part_of(std::uint64_t seed, std::int64_t epoch, std::int64_t batch, std::int64_t size = 24) {
  return {.labels = Tensor::zeros({size}, {.dtype = DType::i32}),
          .batch = batch,
          .batch_samples = size,
          .epoch = epoch,
          .seed = seed};
}

std::vector<data::Part> parts_of_epoch(const data::LoaderOptions& options, std::int64_t epoch) {
  std::vector<data::Part> parts;
  for (const data::Part& part : data::Loader(tiny_images().train, options).epoch(epoch))
    parts.push_back(part);
  return parts;
}

}  // namespace

TEST_CASE("the loss of mixup is the cross-entropy with mixed images and mixed targets") {
  PixelLinear net(4);
  for (const double smoothing : {0.0, 0.2}) {
    Classification objective(net, {.label_smoothing = smoothing, .mixup = 0.7});
    // 24 images, and parts of 10, 10 and 4 of a batch of 24.
    for (const std::int64_t micro_batch : {0, 10}) {
      for (const data::Part& part :
           parts_of_epoch({.batch = 24, .micro_batch = micro_batch, .workers = 0, .seed = 3}, 5)) {
        const train::Mixup mixup = train::draw_mixup(0.7, part);
        const auto n = static_cast<std::size_t>(part.size());
        const std::vector<float> x = part.images().to_vector<float>();
        const std::vector<std::int32_t> labels = part.labels.to_vector<std::int32_t>();
        const std::size_t pixels = x.size() / n;
        std::vector<float> mixed(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const auto j = static_cast<std::size_t>(mixup.partners[i / pixels]) * pixels + i % pixels;
          mixed[i] = static_cast<float>(mixup.lambda * x[i] + (1 - mixup.lambda) * x[j]);
        }
        const Tensor logits = net(Tensor::from(mixed, part.images().shape()));
        const std::vector<float> p = softmax(logits).to_vector<float>();
        double loss = 0, right = 0;
        for (std::size_t i = 0; i < n; ++i) {
          const std::int32_t partner = labels[static_cast<std::size_t>(mixup.partners[i])];
          const auto row = p.begin() + static_cast<std::ptrdiff_t>(4 * i);
          const std::int64_t best = std::max_element(row, row + 4) - row;
          right += (best == labels[i] ? mixup.lambda : 0) + (best == partner ? 1 - mixup.lambda : 0);
          for (std::int32_t c = 0; c < 4; ++c) {
            const double target = (c == labels[i] ? mixup.lambda : 0) + (c == partner ? 1 - mixup.lambda : 0);
            loss -= ((1 - smoothing) * target + smoothing / 4) * std::log(static_cast<double>(row[c])) /
                    static_cast<double>(part.batch_samples);
          }
        }
        const PartLoss result = objective.loss(part);
        CHECK(std::abs(result.loss.item() / loss - 1) < 2e-6);  // sums of 24 numbers in f32
        CHECK(std::abs(result.metrics.at(0).item() - right) < 2e-6 * static_cast<double>(n));
        CHECK(result.loss.requires_grad());
      }
    }
  }
}

TEST_CASE("tests know no mixup, and its alpha is checked") {
  PixelLinear net(4);
  Classification mixed(net, {.mixup = 1}), plain(net);
  const data::Part part = parts_of_epoch({.batch = 24, .seed = 3}, 0).front();
  CHECK(mixed.evaluate(part).loss.item() == plain.evaluate(part).loss.item());
  CHECK(mixed.loss(part).loss.item() != plain.loss(part).loss.item());
  CHECK(mixed.options().back() == std::pair<std::string, std::string>{"mixup", "1"});
  CHECK(plain.options().size() == 1);  // as runs before it say
  for (const double alpha : {-1.0, 1e-7, 1e7, std::nan("")})
    CHECK(unexplained([&] { Classification(net, {.mixup = alpha}); }, {"mixup", "positive"}) == "nothing");
}

TEST_CASE("lambda has Beta's mean and variance, and partners are permutations") {
  constexpr int n = 4000;
  for (const double alpha : {0.1, 0.5, 1.0, 2.0, 30.0}) {
    INFO("alpha " << alpha);
    double sum = 0, squares = 0;
    for (int batch = 0; batch < n; ++batch) {
      const double lambda = train::draw_mixup(alpha, part_of(1, 0, batch, 1)).lambda;
      CHECK((lambda >= 0 && lambda <= 1));
      sum += lambda;
      squares += (lambda - 0.5) * (lambda - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1)), kurtosis = 3 - 6 / (2 * alpha + 3);
    CHECK(std::abs(sum / n - 0.5) < 4 * std::sqrt(variance / n));  // four standard errors
    CHECK(std::abs(squares / n - variance) < 4 * variance * std::sqrt((kurtosis - 1) / n));
  }
  for (const double alpha : {1e-6, 1e6}) {
    const double lambda = train::draw_mixup(alpha, part_of(1, 0, 0)).lambda;
    CHECK((alpha < 1 ? lambda * (1 - lambda) < 1e-6 : std::abs(lambda - 0.5) < 0.01));
  }
  std::vector<int> fixed(24);
  for (std::int64_t batch = 0; batch < 500; ++batch) {
    const auto partners = train::draw_mixup(1, part_of(1, 0, batch)).partners;
    CHECK(std::set<std::int64_t>(partners.begin(), partners.end()).size() == 24);
    CHECK(*std::max_element(partners.begin(), partners.end()) == 23);
    for (std::size_t i = 0; i < 24; ++i) fixed[i] += partners[i] == static_cast<std::int64_t>(i) ? 1 : 0;
  }
  for (const int times : fixed) CHECK(times < 500.0 / 24 + 5 * std::sqrt(500.0 / 24));  // chance: a 24th
}

TEST_CASE("what is drawn depends on seed, epoch and batch alone") {
  const train::Mixup mixup = train::draw_mixup(1, part_of(7, 2, 5));
  const auto same = [&](const data::Part& part) {
    const train::Mixup other = train::draw_mixup(1, part);
    CHECK((other.lambda == mixup.lambda) == (other.partners == mixup.partners));
    return other.lambda == mixup.lambda;
  };
  CHECK(same(part_of(7, 2, 5)));
  CHECK_FALSE(same(part_of(8, 2, 5)));
  CHECK_FALSE(same(part_of(7, 3, 5)));
  CHECK_FALSE(same(part_of(7, 2, 6)));
  CHECK(train::draw_mixup(1, part_of(7, 2, 5, 10)).lambda == mixup.lambda);  // a part of that batch
  for (const int workers : {0, 3}) {
    const auto parts = parts_of_epoch({.batch = 24, .workers = workers, .seed = 7}, 2);
    CHECK(train::draw_mixup(1, parts[1]).lambda == train::draw_mixup(1, part_of(7, 2, 1)).lambda);
  }
}

TEST_CASE("a run with mixup, cutout and a transform goes on to the bits of one that was not stopped") {
  const Directory directory;
  TinyOptions options{.mixup = 0.4};
  options.loader.augment.cutout = 4;
  options.loader.transform = [](Tensor image, const Random& random) {
    image.data<std::uint8_t>()[random.below(0, 64)] = 255;
    return image;
  };
  const auto train = [&](const char* name, std::int64_t stop_after, int workers) {
    options.loader.workers = workers;
    TinyParts parts(options);
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                    {.epochs = 3, .directory = directory.file(name)});
    Look look;
    look.on_step = [&](TrainedStep& step) {
      if (step.report.step == stop_after) trainer.stop();
    };
    return trainer.test(tiny_images().test).observe(look).run().finished;
  };
  REQUIRE(train("whole", 0, 0));
  CHECK_FALSE(train("stopped", 5, 2));
  CHECK(train("stopped", 0, 1));
  CHECK(differing(directory.file("whole"), directory.file("stopped")).empty());
  options.mixup = 0.5;
  CHECK(unexplained([&] { train("stopped", 0, 0); }, {"objective", R"(\"mixup\":\"0.4\")"}) == "nothing");
}

}  // namespace lamina::tests
