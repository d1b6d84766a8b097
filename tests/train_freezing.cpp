// Frozen parameters: no gradient, no step, but in every file.
#include "catch.h"
#include "core/autograd.h"
#include "layers/freeze.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

// As TinyParts, with what lies before the last block frozen.
struct FrozenParts : TinyParts {
  FrozenParts() {
    for (const char* pattern : {"conv1.*", "bn1.*", "layer1.*", "layer2.*"}) freeze(net, pattern);
    optimizer = make_optimizer("lars", net.parameters(), {{"lr", "0.5"}});
  }
};

bool is_frozen_name(const std::string& name) {
  return !name.starts_with("layer3") && !name.starts_with("fc");
}

std::vector<std::vector<float>> values_of(const Module& module, ParamKind kind, bool frozen) {
  std::vector<std::vector<float>> values;
  for (const auto& param : module.state())
    if (param->kind == kind && is_frozen_name(param->name) == frozen && param->value.dtype() == DType::f32)
      values.push_back(param->value.to_vector<float>());
  return values;
}

}  // namespace

TEST_CASE("what is frozen stays, the rest trains, running statistics move") {
  FrozenParts parts;
  const auto weights = values_of(parts.net, ParamKind::weight, true),
             rest = values_of(parts.net, ParamKind::weight, false);
  const auto norms = values_of(parts.net, ParamKind::norm, true);
  const auto statistics = values_of(parts.net, ParamKind::buffer, true);
  CHECK(parts.net.parameters().size() == TinyParts().net.parameters().size());
  Trainer(parts.objective, *parts.optimizer, parts.loader).run();
  CHECK(values_of(parts.net, ParamKind::weight, true) == weights);
  CHECK(values_of(parts.net, ParamKind::norm, true) == norms);
  CHECK(values_of(parts.net, ParamKind::weight, false) != rest);
  CHECK(values_of(parts.net, ParamKind::buffer, true) != statistics);
}

TEST_CASE("no gradient is computed for what is frozen, nor below it") {
  FrozenParts parts;
  std::vector<std::string> recorded;
  const ForwardObserver observer([&](const Module& module, const Tensor&, const Tensor& y) {
    if (y.requires_grad()) recorded.push_back(module.path());
  });
  const data::Part part = *parts.loader.epoch(0).begin();
  parts.net(part.images());
  CHECK(recorded.front() == "layer3.0.conv1");
  for (const auto& param : parts.net.parameters())
    CHECK(param->value.requires_grad() == !is_frozen_name(param->name));

  TinyParts middle;  // between trained layers the gradient passes through
  freeze(middle.net, "layer2.*");
  const auto optimizer = make_optimizer("lars", middle.net.parameters());
  sum(square(middle.net(part.images()))).backward();
  TinyParts whole;
  sum(square(whole.net(part.images()))).backward();
  for (std::size_t i = 0; i < middle.net.parameters().size(); ++i) {
    const std::shared_ptr<Param> param = middle.net.parameters()[i];
    INFO(param->name);
    if (!param->frozen)
      CHECK(param->grad().to_vector<float>() == whole.net.parameters()[i]->grad().to_vector<float>());
  }
}

TEST_CASE("unfreezing, and names that are not there") {
  TinyParts parts;
  freeze(parts.net);
  for (const auto& param : parts.net.parameters()) CHECK((param->frozen && !param->value.requires_grad()));
  unfreeze(parts.net, "fc.*");
  CHECK(make_optimizer("sgd", parts.net.parameters())->segments().size() == 2);
  unfreeze(parts.net);
  CHECK(make_optimizer("sgd", parts.net.parameters())->segments().size() == parts.net.parameters().size());
  CHECK(unexplained([&] { freeze(parts.net, "lier1.*"); },
                    {"freeze lier1.*", "ResNet", "near: layer1.0.conv1.weight"}) == "nothing");
}

TEST_CASE("an optimizer from before unfreezing is refused") {
  ResNet net("resnet8", {.seed = 3});
  freeze(net, "conv1.*");
  Sgd before(net.parameters());
  unfreeze(net, "conv1.*");
  CHECK(unexplained([&] { before.step(); }, {"conv1.weight", "no longer is", "make a new one"}) == "nothing");
}

TEST_CASE("new heads, clones and further optimizers keep what is frozen") {
  ResNet net("resnet8", {.seed = 3});
  freeze(net, "layer1.*");
  const auto is_frozen = [](const ResNet& of) {
    const Param& param = of.parameter("layer1.0.conv1.weight");
    return param.frozen && !param.value.requires_grad() && !of.parameter("conv1.weight").frozen;
  };
  net.reset_head(4, 3);
  CHECK(is_frozen(net));
  CHECK(is_frozen(net.clone()));
  const SgdOptions options{.groups = {.rules = {{.pattern = "layer1.*", .frozen = true}}}};
  const Sgd first(net.parameters(), options), second(net.parameters(), options);
  CHECK(second.segments().size() == first.segments().size());
}

TEST_CASE("a run with frozen parameters goes on to the same bits, and only with the same ones frozen") {
  const Directory directory;
  const TrainerOptions options{.epochs = 2, .directory = directory.file("run"), .checkpoint_steps = 1};
  FrozenParts whole, first, second;
  Trainer(whole.objective, *whole.optimizer, whole.loader, {.epochs = 2}).run();
  Look stop;
  Trainer trainer(first.objective, *first.optimizer, first.loader, options);
  stop.on_step = [&](TrainedStep& step) {
    if (step.report.step == 4) trainer.stop();
  };
  CHECK_FALSE(trainer.observe(stop).run().finished);
  TinyParts unfrozen;
  CHECK(unexplained([&] { Trainer(unfrozen.objective, *unfrozen.optimizer, unfrozen.loader, options).run(); },
                    {"freeze: [] here", "layer2.0.conv1.weight"}) == "nothing");
  CHECK(Trainer(second.objective, *second.optimizer, second.loader, options).run().finished);
  CHECK(bits_of(second.net) == bits_of(whole.net));
  TinyParts loaded;
  CHECK(load_weights(directory.file("run") / "weights.safetensors", loaded.net).missing.empty());
  CHECK(bits_of(loaded.net) == bits_of(whole.net));
}

}  // namespace lamina::tests
