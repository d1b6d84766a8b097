// A model measured on a split.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "core/autograd.h"
#include "tiny_training.h"
#include "train/evaluation.h"

namespace lamina::tests {
namespace {

// A few steps of training, so that the running statistics are not those of the start.
void train_a_little(TinyParts& parts) { Trainer(parts.objective, *parts.optimizer, parts.loader).run(); }

// Of each test image by itself.
std::vector<float> logits_of_test(ResNet& net) {
  const NoGrad no_grad;
  const EvalMode eval_mode(net);
  std::vector<float> logits;
  for (const data::Part& part : data::evaluation_loader(tiny_images().test, 1, 0).epoch(0)) {
    const std::vector<float> of_image = net(part.images()).to_vector<float>();
    logits.insert(logits.end(), of_image.begin(), of_image.end());
  }
  return logits;
}

}  // namespace

TEST_CASE("evaluate() is the mean over all samples, whatever the batches") {
  TinyParts parts;
  train_a_little(parts);
  const std::vector<float> logits = logits_of_test(parts.net);
  const std::vector<std::int32_t> labels = tiny_images().test.labels.to_vector<std::int32_t>();
  double loss = 0;
  std::int64_t right = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    const float* row = logits.data() + 4 * i;
    double sum = 0;
    for (int c = 0; c < 4; ++c) sum += std::exp(static_cast<double>(row[c]));
    loss += std::log(sum) - row[labels[i]];
    right += std::max_element(row, row + 4) - row == labels[i] ? 1 : 0;
  }
  for (const std::int64_t batch : {40, 24, 7, 500}) {  // 24 + 16, 7 … 7 + 5
    CAPTURE(batch);
    const Metrics metrics = evaluate(parts.objective, tiny_images().test, {.batch = batch});
    CHECK(metrics.samples == 40);
    CHECK(std::abs(metrics.loss_sum / loss - 1) < 1e-6);  // sums in f32
    CHECK(metrics.sums == std::vector<double>{static_cast<double>(right)});
    const Evaluation evaluation = evaluate(parts.net, tiny_images().test, {.batch = batch});
    CHECK(evaluation.loss == metrics.loss());
    CHECK(evaluation.correct == right);
    CHECK(evaluation.accuracy == static_cast<double>(right) / 40);
  }
  CHECK(accuracy(parts.net, tiny_images().test) == static_cast<double>(right) / 40);
}

TEST_CASE("evaluate() changes nothing, and comes back to the mode that the model was in") {
  TinyParts parts;
  train_a_little(parts);
  const std::string before = bits_of(parts.net);
  for (const bool training : {true, false}) {
    parts.net.train(training);
    evaluate(parts.objective, tiny_images().test, {.batch = 24});
    CHECK(parts.net.training() == training);
  }
  CHECK(bits_of(parts.net) == before);
}

TEST_CASE("evaluate() ends where it is told to") {
  TinyParts parts;
  std::vector<std::int64_t> asked;
  const auto stop_at_20 = [&](std::int64_t samples) {
    asked.push_back(samples);
    return samples < 20;
  };
  const Metrics metrics =
      evaluate(parts.objective, tiny_images().test, {.batch = 10, .keep_going = stop_at_20});
  CHECK(asked == std::vector<std::int64_t>{10, 20});
  CHECK(metrics.samples == 20);
}

TEST_CASE("evaluate() takes an objective's evaluate(), and all its metrics") {
  PixelLinear net(4);
  OwnObjective objective(net,
                         [&](const data::Part& part) { return part.mean(sum_to(net(part.images()), {1})); });
  std::vector<bool> recorded;
  objective.infos = {{.name = "samples"}, {.name = "labels"}};
  objective.evaluation_of = [&](const data::Part& part) {
    const Tensor logits = net(part.images());
    recorded.push_back(logits.requires_grad() || net.training() || !part.is_whole_batch());
    const Tensor ones = Tensor::full({part.size()}, 1);
    return PartLoss(part.mean(ones * 3), {sum(ones), sum(cast(part.labels, DType::f32))});
  };
  const Metrics metrics = evaluate(objective, tiny_images().test, {.batch = 24});
  CHECK(metrics.loss() == 3);
  CHECK(metrics.sums == std::vector<double>{40, 60});  // labels 0 … 3, ten times
  CHECK(recorded == std::vector<bool>{false, false});
}

}  // namespace lamina::tests
