// Objectives: the share of a part, what is measured beside it, and what is refused.
#include <cmath>
#include <limits>

#include "catch.h"
#include "core/autograd.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

// Whether an image is of class 0: +1, or -1.
Tensor signs_of(const data::Part& part, DType dtype) {
  std::vector<double> signs;
  for (const std::int32_t label : part.labels.to_vector<std::int32_t>()) signs.push_back(label == 0 ? 1 : -1);
  return cast(Tensor::from(signs, {part.size()}), dtype);
}

PartLoss hinge_loss(Module& net, const data::Part& part) {
  const Tensor scores = reshape(net(cast(part.images(), DType::f64)), {part.size()});
  const Tensor margins = signs_of(part, DType::f64) * scores;
  double right = 0;
  for (const double margin : margins.to_vector<double>()) right += margin > 0 ? 1 : 0;
  return {part.mean(relu(1 - margins)), {Tensor::full({}, right, {.dtype = DType::f64})}};
}

struct Gradients {
  std::vector<double> sums;  // loss and metrics
  std::vector<double> grads;
};

// Of the first batch of 24, in parts of at most so many samples.
Gradients gradients_of(Objective& objective, std::int64_t micro_batch) {
  const data::Loader loader(tiny_images().train,
                            {.batch = 24, .micro_batch = micro_batch, .workers = 0, .seed = 3});
  for (const auto& param : objective.module().parameters()) param->value.zero_grad();
  const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {.dtype = DType::f64});
  for (const data::Part& part : loader.epoch(0)) {
    accumulate_gradients(objective, part, sums);
    if (part.completes_batch) break;
  }
  Gradients result{.sums = sums.to_vector<double>(), .grads = {}};
  for (const auto& param : objective.module().parameters()) {
    const std::vector<double> grad = cast(param->grad(), DType::f64).to_vector<double>();
    result.grads.insert(result.grads.end(), grad.begin(), grad.end());
  }
  return result;
}

double relative_distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += a[i] * a[i];
  }
  return std::sqrt(difference / size);
}

data::Part first_part(std::int64_t micro_batch = 0) {
  return *data::Loader(tiny_images().train,
                       {.batch = 24, .micro_batch = micro_batch, .workers = 0, .seed = 3})
              .epoch(0)
              .begin();
}

}  // namespace

TEST_CASE("the gradients and losses of a batch's parts add up to the batch's") {
  PixelLinear scorer(1, DType::f64), classifier(4);
  OwnObjective hinge(scorer, [&](const data::Part& part) { return hinge_loss(scorer, part); });
  hinge.infos = {{.name = "right"}};
  Classification classification(classifier, {.label_smoothing = 0.1});
  const auto check_parts = [](Objective& objective, double roundings) {
    const Gradients whole = gradients_of(objective, 0);
    for (const std::int64_t micro_batch : {8, 10, 1}) {
      const Gradients parts = gradients_of(objective, micro_batch);
      CHECK(relative_distance(whole.grads, parts.grads) < roundings);
      CHECK(std::abs(parts.sums[0] / whole.sums[0] - 1) < roundings);
      CHECK(parts.sums[1] == whole.sums[1]);
    }
    CHECK(whole.sums[1] > 0);
    CHECK(whole.sums[1] < 24);
  };
  check_parts(hinge, 1e-14);          // sums of 24 numbers in f64
  check_parts(classification, 1e-6);  // and in f32
}

TEST_CASE("a step after a part that is not the last of its batch is refused, in a loop of one's own") {
  TinyParts parts;
  const data::Loader loader(tiny_images().train, {.batch = 24, .micro_batch = 10, .workers = 0, .seed = 3});
  std::int64_t refused = 0, taken = 0;
  for (const data::Part& part : loader.epoch(0)) {
    parts.objective.loss(part).loss.backward();
    if (part.completes_batch) {
      parts.optimizer->step();
      ++taken;
      continue;
    }
    CHECK(unexplained([&] { parts.optimizer->step(); }, {"not its last", "completes_batch"}) == "nothing");
    if (++refused == 4) break;
  }
  CHECK(taken == 1);
  parts.optimizer->step();  // the loop is over
  CHECK(parts.optimizer->steps() == 2);
}

TEST_CASE("the accuracy is an exact count, and the test's loss has no label smoothing") {
  PixelLinear net(4);
  Classification smooth(net, {.label_smoothing = 0.5}), sharp(net);
  const data::Part part = first_part();
  const std::vector<float> logits = net(part.images()).to_vector<float>();
  double right = 0;
  for (std::size_t i = 0; i < 24; ++i) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(4 * i);
    right += std::max_element(row, row + 4) - row == part.labels.data<std::int32_t>()[i] ? 1 : 0;
  }
  CHECK(smooth.loss(part).metrics.at(0).item() == right);
  CHECK(smooth.evaluate(part).metrics.at(0).item() == right);
  CHECK(smooth.evaluate(part).loss.item() == sharp.loss(part).loss.item());
  CHECK(smooth.loss(part).loss.item() != sharp.loss(part).loss.item());
  CHECK(smooth.options() == std::vector<std::pair<std::string, std::string>>{{"label_smoothing", "0.5"}});
  for (const double out_of_range : {-0.1, 1.0, std::nan("")}) {
    const auto make = [&] { Classification(net, {.label_smoothing = out_of_range}); };
    CHECK(unexplained(make, {"label_smoothing", "less than 1"}) == "nothing");
  }
}

TEST_CASE("sums become the metrics of so many samples, and better is told by the first metric or the loss") {
  const std::vector<double> sums{0.5, 7, 3};
  const Metrics metrics = metrics_from_sums(sums.data(), sums.size(), 10);
  CHECK(metrics.samples == 10);
  CHECK(metrics.loss() == 0.5);  // was a mean
  CHECK(metrics.mean(0) == 0.7);
  CHECK(metrics.mean(1) == 0.3);
  Metrics twice = metrics;
  twice.add({.samples = 30, .loss_sum = 45, .sums = {13, 1}});
  CHECK(twice.loss() == 50.0 / 40);
  CHECK(twice.sums == std::vector<double>{20, 4});

  PixelLinear net(1);
  OwnObjective objective(net, [&](const data::Part&) { return PartLoss(Tensor()); });
  const Metrics low{.samples = 2, .loss_sum = 9, .sums = {1}}, high{.samples = 2, .loss_sum = 3, .sums = {2}};
  const Metrics nan{.samples = 2, .loss_sum = std::nan(""), .sums = {std::nan("")}};
  for (const bool by_loss : {true, false}) {  // without metrics, and by an error rate
    CHECK(is_better(objective, by_loss ? high : low, by_loss ? low : high));
    CHECK(!is_better(objective, by_loss ? low : high, by_loss ? high : low));
    CHECK(!is_better(objective, low, low));
    CHECK(is_better(objective, low, nan));
    CHECK(!is_better(objective, nan, low));
    CHECK(!is_better(objective, nan, nan));
    objective.infos = {{.name = "error", .higher_is_better = false}};
  }
  objective.infos = {{.name = "accuracy"}};
  CHECK(is_better(objective, high, low));
  CHECK(!is_better(objective, low, high));
}

TEST_CASE("an objective that gives something else than was agreed on is named with what it gave") {
  PixelLinear net(1);
  const data::Part part = first_part();
  const Tensor scores = reshape(net(part.images()), {24});
  using Parts = std::initializer_list<const char*>;
  const auto lacking = [&](Parts words, const PartLoss& result, std::vector<MetricInfo> metrics = {}) {
    OwnObjective objective(net, [&](const data::Part&) { return result; });
    objective.infos = std::move(metrics);
    return unexplained([&] { checked_loss(objective, part); }, words);
  };
  CHECK(lacking({"own", "loss is f32[24]", "Part::mean()"}, scores) == "nothing");
  CHECK(lacking({"own", "loss is undefined"}, Tensor()) == "nothing");
  CHECK(lacking({"own", "loss is i32"}, Tensor::zeros({}, {.dtype = DType::i32})) == "nothing");
  CHECK(lacking({"own", "no gradient history"}, sum(scores).detach()) == "nothing");
  CHECK(lacking({"own", "names 1 metrics", "measured 2"}, {sum(scores), {sum(scores), sum(scores)}},
                {{.name = "score"}}) == "nothing");
  CHECK(lacking({"own", "its score is f32[24]"}, {sum(scores), {scores}}, {{.name = "score"}}) == "nothing");
  CHECK(lacking({"(no error)"}, {sum(scores), {sum(scores)}}, {{.name = "score"}}) == "nothing");
  const NoGrad no_grad;
  CHECK(lacking({"NoGrad"}, sum(net(part.images()))) == "nothing");
}

TEST_CASE("an objective that needs a whole batch refuses parts, and leaves nothing behind") {
  const Directory directory;
  PixelLinear net(1);
  OwnObjective objective(net, [&](const data::Part& part) {
    return part.mean(square(reshape(net(part.images()), {part.size()})));
  });
  objective.whole = true;
  CHECK(unexplained([&] { checked_loss(objective, first_part(10)); }, {"own", "10 of 24", "micro_batch"}) ==
        "nothing");
  CHECK(message_of([&] { checked_loss(objective, first_part()); }) == "(no error)");

  Sgd optimizer(net.parameters());
  const data::Loader loader(tiny_images().train, {.batch = 24, .micro_batch = 10, .seed = 3});
  Trainer trainer(objective, optimizer, loader, {.directory = directory.file("run")});
  CHECK(unexplained([&] { trainer.run(); }, {"own", "10 of 24", "leave out micro_batch"}) == "nothing");
  CHECK(!std::filesystem::exists(directory.file("run")));
}

TEST_CASE("an objective over two views trains") {
  const Directory directory;
  PixelLinear net(8);
  std::size_t views = 0;
  bool differ = false;
  OwnObjective objective(net, [&](const data::Part& part) {
    views = part.views.size();
    differ = part.views.at(0).to_vector<float>() != part.views.at(1).to_vector<float>();
    const Tensor distance = square(net(part.views.at(0)) - net(part.views.at(1)));
    return part.mean(reshape(sum_to(distance, {part.size(), 1}), {part.size()}));
  });
  objective.evaluation_of = [&](const data::Part& part) {  // one view
    return part.mean(reshape(sum_to(square(net(part.images())), {part.size(), 1}), {part.size()}));
  };
  Sgd optimizer(net.parameters(), {.lr = 1e-3});
  const data::Loader loader(
      tiny_images().train,
      {.batch = 24, .micro_batch = 10, .augment = data::standard(), .views = 2, .seed = 3});
  std::vector<double> losses;
  Look look;
  look.on_epoch = [&](const EpochResult& result) { losses.push_back(result.train.loss()); };
  Trainer trainer(objective, optimizer, loader, {.epochs = 4, .directory = directory.file("run")});
  CHECK(trainer.test(tiny_images().test).observe(look).run().finished);
  CHECK(views == 2);
  CHECK(differ);
  REQUIRE(losses.size() == 4);
  CHECK(losses.back() < 0.8 * losses.front());
}

}  // namespace lamina::tests
