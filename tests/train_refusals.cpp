// What a Trainer refuses before its first step, and what it puts in order itself.
#include <cmath>

#include "catch.h"
#include "layers/freeze.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/evaluation.h"
#include "train/run_directory.h"

namespace lamina::tests {
namespace {

std::vector<float> weights_of(const TinyParts& parts) {
  return parts.optimizer->arena().values().to_vector<float>();
}

std::vector<float> trained(TinyParts& parts) {
  Trainer(parts.objective, *parts.optimizer, parts.loader).run();
  return weights_of(parts);
}

}  // namespace

TEST_CASE("an optimizer that has stepped, or of another module, is refused") {
  TinyParts parts, others;
  parts.optimizer->step();
  CHECK(unexplained([&] { trained(parts); }, {"taken 1 steps", "new optimizer"}) == "nothing");
  TinyParts fresh;
  CHECK(unexplained([&] { Trainer(fresh.objective, *others.optimizer, fresh.loader).run(); },
                    {"none of the", "ResNet"}) == "nothing");
}

TEST_CASE("a backward pass through weights that a step has moved is refused") {
  TinyParts parts;
  const data::Loader loader(tiny_images().train, {.batch = 8, .workers = 0, .seed = 3});
  for (const data::Part& part : loader.epoch(0)) {
    const Tensor first = parts.objective.loss(part).loss, second = parts.objective.loss(part).loss;
    first.backward();
    parts.optimizer->step();
    CHECK(unexplained([&] { second.backward(); }, {"backward", "overwritten", "optimizer's step"}) ==
          "nothing");
    break;
  }
}

TEST_CASE("an optimizer from before reset_head is refused, a new one trains the new head") {
  for (const bool head : {true, false}) {
    ResNet net("resnet8", {.classes = 10, .head = head, .seed = 3});
    const auto old = make_optimizer("sgd", net.parameters(), {{"lr", "0.1"}}, {.steps_per_epoch = 3});
    net.reset_head(4, 3);
    const TinyParts parts;
    Classification objective(net);
    CHECK(unexplained([&] { Trainer(objective, *old, parts.loader).run(); },
                      {head ? "fc.weight, fc.bias" : "conv1.weight no longer lies"}) == "nothing");
    CHECK(unexplained([&] { old->step(); }, {"conv1.weight", "no longer lies"}) == "nothing");

    const auto optimizer = make_optimizer("sgd", net.parameters(), {{"lr", "0.1"}}, {.steps_per_epoch = 3});
    const auto before = net.parameter("fc.weight").value.to_vector<float>();
    Trainer(objective, *optimizer, parts.loader).run();
    CHECK(net.parameter("fc.weight").value.to_vector<float>() != before);
    TinyParts whole({.optimizer = "sgd", .lr = 0.1});  // a net that had the head from its start
    trained(whole);
    CHECK(bits_of(net) == bits_of(whole.net));
  }
}

TEST_CASE("an optimizer of some parameters alone, or of more than the module's, is refused") {
  const auto refused = [](const ParamList& params, TinyParts& parts,
                          std::initializer_list<const char*> what) {
    Sgd optimizer(params);
    Trainer trainer(parts.objective, optimizer, parts.loader);
    CHECK_THROWS_AS(Trainer(parts.objective, optimizer, parts.loader).run(), UsageError);
    CHECK(unexplained([&] { trainer.run(); }, what) == "nothing");
  };
  TinyParts parts;
  ParamList params = parts.net.parameters();
  const std::shared_ptr<Param> first = params.front();
  params.erase(params.begin());
  refused(params, parts, {"1 parameters", "ResNet", "never change: conv1.weight", "freeze()"});
  params.insert(params.begin(), first);
  params.push_back(std::make_shared<Param>(Param{"temperature", ParamKind::bias, Tensor::zeros({1})}));
  refused(params, parts, {"1 parameters that the objective's module, ResNet", "temperature", "not be saved"});
  params.pop_back();
  freeze(parts.net, "conv1.*");
  Sgd rest(params);
  CHECK(Trainer(parts.objective, rest, parts.loader).run().finished);
}

TEST_CASE("an optimizer whose parameters a second one has is refused") {
  TinyParts parts;
  const Sgd second(parts.net.parameters());
  CHECK(unexplained([&] { trained(parts); }, {"conv1.weight", "a later optimizer took it over"}) ==
        "nothing");
}

TEST_CASE("gradients start from zero, modules in training mode") {
  TinyParts sound, stale, evaluating;
  const std::vector<float> expected = trained(sound);
  stale.optimizer->arena().grads().rows(0, 8).fill(100);
  CHECK(trained(stale) == expected);
  evaluating.net.eval();
  CHECK(trained(evaluating) == expected);
}

TEST_CASE("a trainer runs once") {
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader);
  trainer.run();
  CHECK(unexplained([&] { trainer.run(); }, {"run() has been called before"}) == "nothing");
}

TEST_CASE("a loader that is made for the trainer alone may go") {
  TinyParts parts, expected;
  Trainer trainer(parts.objective, *parts.optimizer,
                  data::Loader(parts.loader.split(), TinyParts::with_seed(parts.loader.options())));
  trainer.run();
  CHECK(weights_of(parts) == trained(expected));
}

TEST_CASE("images that cannot be measured on are refused before the first epoch") {
  const Directory directory;
  data::Split bare = tiny_images().test, grey = bare;
  bare.mean.clear();
  grey.images = Tensor::zeros({2, 8, 8, 1}, {DType::u8});
  grey.labels = Tensor::zeros({2}, {DType::i32});
  grey.mean = grey.std = {0.5f};
  for (const data::Split& split : {bare, grey}) {
    TinyParts parts;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = directory.file("run")});
    CHECK_THROWS_AS(trainer.test(split).run(), Error);
    CHECK(parts.optimizer->steps() == 0);
    CHECK(!std::filesystem::exists(directory.file("run")));
  }
}

TEST_CASE("columns of the logs have names of their own") {
  const Directory directory;
  for (const std::vector<std::string>& columns :
       {std::vector<std::string>{"loss"}, {"accuracy"}, {"a", "a"}, {"a,b"}, {"a\n"}, {""}}) {
    TinyParts parts;
    Look observer;
    observer.names = columns;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = directory.file("run")});
    CHECK_THROWS_AS(trainer.observe(observer).run(), UsageError);
    CHECK(!std::filesystem::exists(directory.file("run")));
  }
}

TEST_CASE("what is thrown between steps costs nothing that was trained") {
  const Directory directory;
  TinyParts parts, again, whole;
  OwnObjective failing(parts.net, [&](const data::Part& part) { return parts.objective.loss(part); });
  failing.evaluation_of = [](const data::Part&) -> PartLoss { fail("out of ink"); };
  failing.infos = {{.name = "accuracy"}};
  Trainer first(failing, *parts.optimizer, parts.loader, {.directory = directory.file("run")});
  CHECK(message_of([&] { first.test(tiny_images().test).run(); }) == "out of ink");
  CHECK(std::filesystem::exists(directory.file("run") / "checkpoint-3.safetensors"));
  OwnObjective sound(again.net, [&](const data::Part& part) { return again.objective.loss(part); });
  sound.infos = {{.name = "accuracy"}};
  CHECK(Trainer(sound, *again.optimizer, again.loader, {.directory = directory.file("run")}).run().finished);
  CHECK(weights_of(again) == trained(whole));
}

TEST_CASE("what is thrown within a step leaves the last checkpoint: running statistics have moved since") {
  const Directory directory;
  TinyParts parts, again, whole;
  int calls = 0;
  OwnObjective failing(parts.net, [&](const data::Part& part) {
    const PartLoss loss = parts.objective.loss(part);
    if (++calls == 5) fail("out of ink");
    return loss;
  });
  failing.infos = {{.name = "accuracy"}};
  const TrainerOptions options{.directory = directory.file("run"), .checkpoint_steps = 2};
  TinyOptions two_parts;
  two_parts.loader.micro_batch = 12;
  Trainer first(failing, *parts.optimizer, TinyParts(two_parts).loader, options);
  CHECK(message_of([&] { first.run(); }) == "out of ink");
  CHECK(train::RunDirectory::open(directory.file("run")).checkpoint_steps() == std::vector<std::int64_t>{2});
  OwnObjective sound(again.net, [&](const data::Part& part) { return again.objective.loss(part); });
  sound.infos = {{.name = "accuracy"}};
  CHECK(Trainer(sound, *again.optimizer, TinyParts(two_parts).loader, options).run().finished);
  Trainer(whole.objective, *whole.optimizer, TinyParts(two_parts).loader).run();
  CHECK(weights_of(again) == weights_of(whole));
}

TEST_CASE("a view that is not there is an error, not a crash") {
  TinyParts parts;
  OwnObjective two_views(parts.net, [&](const data::Part& part) {
    const Tensor distance = square(parts.net(part.images()) - parts.net(part.view(1)));
    return PartLoss(part.mean(reshape(sum_to(distance, {part.size(), 1}), {part.size()})));
  });
  CHECK(unexplained([&] { evaluate(two_views, tiny_images().test); },
                    {"view 1 of a part that has 1", "tests have one"}) == "nothing");
}

}  // namespace lamina::tests
