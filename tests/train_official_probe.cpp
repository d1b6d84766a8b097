// The public TVLARS code's linear evaluation, and its switches.
#include <cmath>

#include "catch.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/official_probe.h"

namespace lamina::tests {
namespace {

ResNet tiny_backbone() { return ResNet("resnet8", {.head = false, .seed = 3}); }

OfficialProbeOptions all_right() {
  return {.training_mode = false,
          .test_crops = false,
          .cosine_by_iteration = false,
          .one_shard = false,
          .epochs = 20,
          .batch = 24};
}

OfficialProbe probe_tiny(ResNet& net, const OfficialProbeOptions& options) {
  return official_probe(net, tiny_images().train, tiny_images().test, 4, options);
}

std::string parameter_bits(const Module& module) {
  std::string bits;
  for (const auto& param : module.parameters())
    bits.append(reinterpret_cast<const char*>(param->value.raw()), param->value.bytes());
  return bits;
}

}  // namespace

TEST_CASE("with every switch off, the official probe is a plain one: nothing of the backbone moves") {
  ResNet net = tiny_backbone();
  const std::string before = bits_of(net);
  std::vector<double> losses;
  OfficialProbeOptions options = all_right();
  options.on_epoch = [&](int epoch, double loss) {
    losses.push_back(loss);
    CHECK(epoch == std::ssize(losses));
  };
  const OfficialProbe probe = probe_tiny(net, options);
  CHECK(bits_of(net) == before);
  CHECK(net.training());
  CHECK(probe.samples == 40);
  CHECK(probe.width == 64);
  CHECK(probe.top1 == static_cast<double>(probe.correct) / 40);
  CHECK(probe.top5 == 1);
  REQUIRE(losses.size() == 20);
  CHECK(losses.back() < 0.9 * std::log(4));  // which is that of equal probabilities
  options.on_epoch = {};
  options.workers = 0;
  CHECK(probe_tiny(net, options).correct == probe.correct);
}

TEST_CASE("a last batch that a batch normalisation cannot do with is refused before anything is trained") {
  ResNet net("resnet18", {.head = false, .stem = Stem::imagenet, .seed = 3});  // 8 × 8 pixels become one
  OfficialProbeOptions options{.one_shard = false, .epochs = 1, .workers = 0};
  options.on_epoch = [](int, double) { FAIL("an epoch was trained"); };
  for (const std::int64_t batch : {71, 39}) {  // of 72 training and 40 test images
    CAPTURE(batch);
    options.batch = batch;
    CHECK(unexplained([&] { probe_tiny(net, options); },
                      {"the last batch of an epoch", "single image", "layer", "another batch"}) == "nothing");
  }
  CHECK(net.training());
  options.on_epoch = {};
  options.training_mode = false;
  CHECK(probe_tiny(net, options).samples == 40);
}

TEST_CASE("each switch of the official probe does what it says") {
  ResNet net = tiny_backbone();
  const std::string before = bits_of(net), parameters = parameter_bits(net);
  OfficialProbeOptions options = all_right();
  options.epochs = 1;
  const auto last_loss = [&](OfficialProbeOptions changed) {
    double last = 0;
    changed.on_epoch = [&](int, double loss) { last = loss; };
    probe_tiny(net, changed);
    return last;
  };
  options.one_shard = true;
  CHECK(probe_tiny(net, options).samples == 10);
  options = all_right();
  const double plain = last_loss(options);
  options.test_crops = true;
  CHECK(last_loss(options) == plain);  // training is the same
  options = all_right();
  options.cosine_by_iteration = true;  // after 60 iterations of 200 the rate is still 0.20
  CHECK(last_loss(options) != plain);
  CHECK(bits_of(net) == before);
  options = all_right();
  options.training_mode = true;
  CHECK(last_loss(options) != plain);
  CHECK(bits_of(net) != before);  // running statistics have moved
  CHECK(parameter_bits(net) == parameters);
}

TEST_CASE("the official probe refuses what it cannot train with") {
  ResNet net = tiny_backbone();
  OfficialProbeOptions options = all_right();
  options.epochs = 0;
  CHECK(unexplained([&] { probe_tiny(net, options); }, {"epochs 0: expected"}) == "nothing");
  options = all_right();
  options.batch = 1;
  CHECK(unexplained([&] { probe_tiny(net, options); }, {"batch 1: expected"}) == "nothing");
}

}  // namespace lamina::tests
