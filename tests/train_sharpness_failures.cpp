// What sharpness-aware training refuses, and what is left where it fails.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "catch.h"
#include "core/memory/allocator.h"
#include "core/ops/ops.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/objectives/barlow_twins.h"
#include "train/setup.h"
#include "train/without_effect.h"

namespace lamina::tests {
namespace {

std::string refused(const SamOptions& sam, std::int64_t micro_batch,
                    std::initializer_list<const char*> words) {
  TinyOptions options;
  options.loader.micro_batch = micro_batch;
  TinyParts parts(options);
  return unexplained(
      [&] {
        const Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.sharpness_aware = sam});
      },
      words);
}

}  // namespace

TEST_CASE("perturbations that cannot be are refused before anything is trained") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(refused({.rho = -0.1}, 0, {"sam -0.1", "0 or more"}) == "nothing");
  CHECK(refused({.rho = std::nan("")}, 0, {"sam nan", "finite"}) == "nothing");
  CHECK(refused({.rho = infinity}, 0, {"sam inf", "finite"}) == "nothing");
  CHECK(refused({.rho = 1, .adaptive = true, .eta = -1}, 0, {"sam_eta -1"}) == "nothing");
  CHECK(refused({.m = -1}, 0, {"sam_m -1", "batch 24"}) == "nothing");
  CHECK(refused({.m = 25}, 0, {"sam_m 25", "batch 24"}) == "nothing");
  CHECK(refused({.m = 12}, 8, {"sam_m 12", "micro_batch 8", "leave out"}) == "nothing");
  CHECK(refused({.m = 8}, 8, {"(no error)"}) == "nothing");
  TinyParts parts;
  CHECK_THROWS_AS(SharpnessAware(parts.net, *parts.optimizer, {.rho = -1}), UsageError);
  SharpnessAware sam(parts.net, *parts.optimizer);
  CHECK(unexplained([&] { sam.perturb(); }, {"begin()"}) == "nothing");
  CHECK(unexplained([&] { sam.restore(); }, {"not perturbed"}) == "nothing");
  sam.begin();
  sam.perturb();
  CHECK(unexplained([&] { sam.begin(); }, {"restore()"}) == "nothing");
}

TEST_CASE("a loss of whole batches is perturbed as a whole, and refused in parts") {
  const auto train = [](std::int64_t micro_batch, const std::optional<SamOptions>& sam) {
    ResNet net("resnet8", {.head = false, .projector = ProjectorOptions{.widths = {12, 6}}, .seed = 3});
    BarlowTwins objective(net);
    const auto optimizer = make_optimizer("lars", net.parameters(), {{"lr", "0.1"}}, {.steps_per_epoch = 3});
    const data::Loader loader(tiny_images().train, {.batch = 24,
                                                    .micro_batch = micro_batch,
                                                    .augment = data::standard(),
                                                    .views = 2,
                                                    .workers = 0,
                                                    .seed = 3});
    Trainer(objective, *optimizer, loader, {.sharpness_aware = sam}).run();
    return bits_of(net);
  };
  CHECK(train(0, SamOptions{.rho = 0.1}) != train(0, {}));
  CHECK(unexplained([&] { train(8, SamOptions{.rho = 0.1}); },
                    {"sam 0.1 with micro_batch 8", "two passes", "leave out"}) == "nothing");
  CHECK(unexplained([&] { train(0, SamOptions{.rho = 0.1, .m = 8}); }, {"sam 0.1 with sam_m 8"}) ==
        "nothing");
  CHECK(train(8, SamOptions{.rho = 0}) == train(8, {}));
}

TEST_CASE("recipes are held to the same, before any data are read") {
  const auto resolved = [](const std::function<void(train::Recipe&)>& change) {
    train::Recipe recipe;
    recipe.data = "synthetic";
    change(recipe);
    return message_of([&] { train::resolve(recipe); });
  };
  CHECK(resolved([](auto& r) { r.sam = -1; }).find("sam -1") != std::string::npos);
  CHECK(resolved([](auto& r) { r.sam = std::nan(""); }).find("sam nan") != std::string::npos);
  CHECK(resolved([](auto& r) { r.sam = 1, r.sam_m = 200; }).find("sam_m 200") != std::string::npos);
  CHECK(resolved([](auto& r) {
          r.sam = 1, r.sam_m = 32, r.micro_batch = 64;
        }).find("beside micro_batch 64") != std::string::npos);
  CHECK(resolved([](auto& r) { r.method = "simclr", r.sam = 1, r.micro_batch = 64; }).find("two passes") !=
        std::string::npos);
  CHECK(resolved([](auto& r) { r.sam = 1, r.sam_m = 64, r.noise_scale = true; }) == "(no error)");
  train::Recipe recipe;
  recipe.data = "synthetic";
  recipe.sam_adaptive = true;
  recipe.sam_m = 64;
  const std::string idle = without_effect(train::resolve(recipe), {"sam_adaptive", "sam_m"});
  CHECK(idle.find("sam_adaptive does nothing without sam") != std::string::npos);
  CHECK(idle.find("sam_m does nothing without sam") != std::string::npos);
  CHECK(train::part_size(recipe) == 0);
  recipe.sam = 0.1;
  CHECK(without_effect(train::resolve(recipe), {"sam_adaptive", "sam_m"}).empty());
  CHECK(train::part_size(recipe) == 64);
}

TEST_CASE("a backward pass that throws leaves the weights as they were") {
  TinyParts parts;
  const std::string before = bits_of(parts.net);
  SharpnessAware sam(parts.net, *parts.optimizer, {.rho = 0.5});
  for (const int fails_at : {1, 2}) {
    int calls = 0;
    const auto backward = [&] {
      if (++calls == fails_at) throw std::runtime_error("enough");
      sum(square(parts.net.parameter("fc.weight").value)).backward();
    };
    CHECK_THROWS_AS(sam.gradients(backward), std::runtime_error);
    CHECK(bits_of(parts.net) == before);
    CHECK(!sam.is_perturbed());
  }
  {
    SharpnessAware left(parts.net, *parts.optimizer, {.rho = 0.5});
    left.begin();
    sum(square(parts.net.parameter("fc.weight").value)).backward();
    left.perturb();
    CHECK(bits_of(parts.net) != before);
  }
  CHECK(bits_of(parts.net) == before);
}

TEST_CASE("a loss that is finite at the weights but not beside them ends the run, and its op is named") {
  for (const std::int64_t micro_batch : {0, 8}) {
    PixelLinear net(1);
    net.parameter("linear.weight").value.fill(0);
    net.parameter("linear.bias").value.fill(1e-3);
    OwnObjective objective(net, [&](const data::Part& part) {  // beyond a step uphill, of a negative number
      return part.mean(-log(reshape(net(part.images() * 0.0), {part.size()})));
    });
    Sgd optimizer(net.parameters(), {.lr = 1e-9});
    const data::Loader loader(tiny_images().train,
                              {.batch = 24, .micro_batch = micro_batch, .workers = 0, .seed = 3});
    const std::string before = bits_of(net);
    Trainer trainer(objective, optimizer, loader, {.sharpness_aware = SamOptions{.rho = 1}});
    CHECK(unexplained([&] { trainer.run(); }, {"step 1", "first of all: log"}) == "nothing");
    CHECK(bits_of(net) == before);
  }
}

TEST_CASE("where memory ends in the second gradient, nothing is left and the size that fits is told") {
  TinyOptions options;
  options.loader.batch = 64;
  TinyParts parts(options);
  const std::vector<float> before = parts.optimizer->arena().values().to_vector<float>();
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.sharpness_aware = SamOptions{.rho = 0.5}});
  std::string message;
  {
    Allocator& allocator = backend_for(Device::cpu()).allocator();
    allocator.set_limit(allocator.use().live_bytes + (5 << 19));
    message = message_of([&] { trainer.run(); });
    allocator.set_limit(std::numeric_limits<std::size_t>::max());
  }
  CAPTURE(message);
  CHECK(message.starts_with("batch 64: out of memory"));
  CHECK(message.find("and fits") != std::string::npos);
  CHECK(parts.optimizer->arena().values().to_vector<float>() == before);
}

}  // namespace lamina::tests
