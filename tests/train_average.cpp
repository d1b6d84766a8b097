// Averages of the weights over the steps of a training.
#include <cmath>
#include <cstring>

#include "catch.h"
#include "layers/freeze.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/evaluation.h"

namespace lamina::tests {
namespace {

using Values = std::vector<std::vector<float>>;

Values values_of(const Module& module) {
  Values values;
  for (const auto& param : module.parameters()) values.push_back(param->value.to_vector<float>());
  return values;
}

// What the header's formula makes of the weights after each step: in f32, rounded as the ops round.
void average_into(Values& average, const Values& weights, float decay) {
  for (std::size_t i = 0; i < weights.size(); ++i)
    for (std::size_t k = 0; k < weights[i].size(); ++k)
      average[i][k] =
          decay * average[i][k] + static_cast<float>(1 - static_cast<double>(decay)) * weights[i][k];
}

struct AveragedRun {
  Values weights, average;  // after the last step, of the loop's observer
  double test_loss = 0;
};

AveragedRun run_and_look(TinyParts& parts, TrainerOptions options, std::int64_t stop_after = 0) {
  AveragedRun run;
  Look look;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, std::move(options));
  look.on_step = [&](TrainedStep& step) {
    run.weights = values_of(parts.net);
    if (step.report.step == 1)
      run.average = run.weights;
    else
      average_into(run.average, run.weights, 0.75f);
    if (step.report.step == stop_after) trainer.stop();
  };
  look.on_epoch = [&](const EpochResult& result) { run.test_loss = result.test.loss(); };
  trainer.test(tiny_images().test).observe(look).run();
  return run;
}

}  // namespace

TEST_CASE("the average is the formula's, is what is tested, and is what remains") {
  const Directory directory;
  TinyParts parts, plain;
  const AveragedRun run = run_and_look(parts, {.epochs = 2, .directory = directory.file("run"), .ema = 0.75});
  CHECK(values_of(parts.net) == run.average);
  CHECK(values_of(parts.net) != run.weights);
  CHECK(evaluate(parts.objective, tiny_images().test, {.batch = 24}).loss() == run.test_loss);
  TinyParts loaded;
  for (const char* file : {"weights.safetensors", "checkpoint-6.safetensors"}) {
    TensorFile stored = read_tensors(directory.file("run") / file);
    std::erase_if(stored.tensors, [](const auto& tensor) { return tensor.first.starts_with("state."); });
    load_weights(stored, loaded.net.state());
    CHECK(values_of(loaded.net) == run.average);
  }
  CHECK(run_and_look(plain, {.epochs = 2}).weights == run.weights);  // the steps are what they are without
}

TEST_CASE("a run with an average goes on to the same bits, with the best epoch's average") {
  const Directory directory;
  for (const std::int64_t stop_after : {1, 3, 5}) {
    CAPTURE(stop_after);
    const TrainerOptions whole{.epochs = 3,
                               .directory = directory.file("whole") / std::to_string(stop_after),
                               .keep = Keep::best,
                               .ema = 0.75};
    TrainerOptions stopped = whole;
    stopped.directory = directory.file("stopped") / std::to_string(stop_after);
    const auto train = [](const TrainerOptions& options, std::int64_t stop) {
      TinyParts parts;
      Look look;
      Trainer trainer(parts.objective, *parts.optimizer, parts.loader, options);
      look.on_step = [&](TrainedStep& step) {
        if (step.report.step == stop) trainer.stop();
      };
      trainer.validate(tiny_images().test).observe(look).run();
      return bits_of(parts.net);
    };
    const std::string wanted = train(whole, 0);
    train(stopped, stop_after);
    CHECK(train(stopped, 0) == wanted);
    CHECK(differing(whole.directory, stopped.directory).empty());
    const TensorFile ends = read_tensors(stopped.directory / "checkpoint-9.safetensors");
    for (const auto& [name, tensor] : read_tensors(whole.directory / "checkpoint-9.safetensors").tensors)
      CHECK(std::memcmp(tensor.raw(), ends.at(name).raw(), tensor.bytes()) == 0);
    CHECK(ends.contains("state.unaveraged.fc.weight"));
    CHECK(train(stopped, 0) == wanted);  // finished: once more changes nothing
    TrainerOptions other = stopped;
    other.ema = 0;
    CHECK(unexplained([&] { train(other, 0); }, {"ema: 0.0 here, 0.75 there"}) == "nothing");
  }
}

TEST_CASE("averages in a loop of one's own") {
  TinyParts parts;
  freeze(parts.net, "fc.*");
  const auto optimizer = make_optimizer("sgd", parts.net.parameters());
  WeightAverage average(parts.net, 0.5);
  const Values start = values_of(parts.net);
  { const AveragedWeights none(&average), nothing(nullptr); }  // before the first update
  CHECK(values_of(parts.net) == start);
  average.update();
  Tensor(parts.net.parameters().front()->value).fill(3);
  const Values changed = values_of(parts.net);
  {
    const AveragedWeights averaged(&average);
    CHECK(values_of(parts.net) == start);
  }
  CHECK(values_of(parts.net) == changed);
  average.update();
  average.copy_to_module();
  CHECK(values_of(parts.net).front().front() == 0.5f * start.front().front() + 1.5f);
  CHECK(parts.net.parameters().front()->value.shares_storage(optimizer->arena().values()));
  for (const double decay : {-0.1, 1.0, std::nan("")}) {
    CHECK_THROWS_AS(WeightAverage(parts.net, decay), UsageError);
    TinyParts fresh;
    CHECK_THROWS_AS(Trainer(fresh.objective, *fresh.optimizer, fresh.loader, {.ema = decay}).run(),
                    UsageError);
  }
}

}  // namespace lamina::tests
