// A model measured on a split.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "catch.h"
#include "core/autograd.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/evaluation_file.h"

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

// Whose logits are the rows of a table, one after the other, whatever the images are.
class TableNet final : public Module {
 public:
  explicit TableNet(Tensor table) : table_(std::move(table)) {}
  std::string kind() const override { return "TableNet"; }

 private:
  Tensor forward(const Tensor& x) override {
    const std::int64_t first = std::exchange(next_, next_ + x.size(0));
    return table_.rows(first, x.size(0));
  }
  Tensor table_;
  std::int64_t next_ = 0;
};

// Black images of one pixel.
data::Split with_labels(const std::vector<std::int32_t>& labels) {
  const auto n = static_cast<std::int64_t>(labels.size());
  return {.images = Tensor::zeros({n, 1, 1, 1}, {.dtype = DType::u8}),
          .labels = Tensor::from(labels, {n}),
          .mean = {0},
          .std = {1}};
}

// The classes by their logits, the largest first; a NaN is larger than all.
std::vector<std::int64_t> sorted_classes(const float* logits, std::int64_t classes) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](std::int64_t c) {
    return std::pair(std::isnan(logits[c]), std::isnan(logits[c]) ? 0 : logits[c]);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return key(a) > key(b); });
  return order;
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

TEST_CASE("a classifier is measured class by class, ties and NaNs as argmax has them") {
  constexpr std::int64_t samples = 40000, classes = 7;  // more logits than are kept on the device
  std::mt19937 random(1);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<float> logits;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < samples * classes; ++i) {
    const int level = below(8);
    logits.push_back(level == 7 ? (below(4) == 0 ? NAN : -INFINITY) : static_cast<float>(level));
  }
  for (std::int64_t i = 0; i < samples; ++i) labels.push_back(below(classes - 1));  // none of the last class
  std::vector<std::int64_t> confusion(classes * classes), ranks(classes);
  for (std::size_t i = 0; i < samples; ++i) {
    const std::vector<std::int64_t> order = sorted_classes(logits.data() + i * classes, classes);
    ++confusion[static_cast<std::size_t>(labels[i] * classes + order.front())];
    ++ranks[static_cast<std::size_t>(std::find(order.begin(), order.end(), labels[i]) - order.begin())];
  }
  TableNet net(Tensor::from(logits, {samples, classes}));
  const Evaluation evaluation = evaluate(net, with_labels(labels), {.batch = 300});
  CHECK(evaluation.ranks == ranks);
  CHECK(evaluation.correct == ranks[0]);
  CHECK(evaluation.top5 == static_cast<double>(samples - ranks[5] - ranks[6]) / samples);
  CHECK(evaluation.top(1) == evaluation.accuracy);
  CHECK(evaluation.top(classes) == 1);
  REQUIRE(evaluation.confusion.classes() == classes);
  for (std::int64_t label = 0; label < classes; ++label) {
    const std::int64_t* row = confusion.data() + label * classes;
    const std::int64_t of_class = std::accumulate(row, row + classes, std::int64_t{0});
    for (std::int64_t c = 0; c < classes; ++c) CHECK(evaluation.confusion.count(label, c) == row[c]);
    CHECK(evaluation.confusion.samples(label) == of_class);
    if (of_class == 0) continue;
    CHECK(evaluation.confusion.accuracy(label) ==
          static_cast<double>(row[label]) / static_cast<double>(of_class));
  }
  CHECK(std::isnan(evaluation.confusion.accuracy(classes - 1)));
}

TEST_CASE("a model that tells no classes apart is right for the first one alone") {
  const data::Split split = with_labels({0, 1, 2, 0, 1, 2, 2, 2});
  TableNet net(Tensor::zeros({8, 3}));
  const Evaluation evaluation = evaluate(net, split);
  CHECK(evaluation.correct == 2);
  CHECK(evaluation.ranks == std::vector<std::int64_t>{2, 2, 4});
  CHECK(evaluation.top5 == 1);  // there are no five
  CHECK(evaluation.confusion.most_confused_with(2) == 0);
  CHECK(evaluation.confusion.most_confused_with(0) == -1);
  CHECK(unexplained([&] { evaluation.confusion.count(3, 0); }, {"class 3", "0 to 2"}) == "nothing");
}

TEST_CASE("logits in f64 are compared in f64") {
  TableNet net(Tensor::from(std::vector<double>{1, 1 + 1e-12, 1 + 1e-12, 1}, {2, 2}));
  const Evaluation evaluation = evaluate(net, with_labels({1, 1}));
  CHECK(evaluation.ranks == std::vector<std::int64_t>{1, 1});
  CHECK(evaluation.correct == 1);
}

TEST_CASE("accuracy() counts the right class among the likeliest few") {
  TinyParts parts;
  train_a_little(parts);
  const std::vector<float> logits = logits_of_test(parts.net);
  const std::vector<std::int32_t> labels = tiny_images().test.labels.to_vector<std::int32_t>();
  for (const std::int64_t top : {1, 2, 3, 4}) {
    int right = 0;
    for (std::size_t i = 0; i < 40; ++i) {
      const std::vector<std::int64_t> order = sorted_classes(logits.data() + 4 * i, 4);
      right += std::find(order.begin(), order.begin() + top, labels[i]) != order.begin() + top ? 1 : 0;
    }
    CHECK(accuracy(parts.net, tiny_images().test, {.top = top}) == right / 40.0);
  }
  for (const std::int64_t top : {0, 5}) {
    const std::string named = fmt::format("top {}", top);
    CHECK(unexplained([&] { accuracy(parts.net, tiny_images().test, {.top = top}); },
                      {named.c_str(), "4 classes", "1 to 4"}) == "nothing");
    CHECK_THROWS_AS(accuracy(parts.net, tiny_images().test, {.top = top}), UsageError);
  }
}

TEST_CASE("a finished run has the evaluation of its final weights, an unfinished one none") {
  const Directory directory;
  const auto train = [&](const char* name, TrainerOptions options, std::int64_t stop_after = 0,
                         bool tests = true) {
    TinyParts parts;
    const data::HeldOut parted = data::hold_out(tiny_images().train, 12);
    if (!options.directory.empty()) options.directory = directory.file(name);
    options.epochs = 3;
    options.weights.classes = {"a", "b", "c", "d"};
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, options);
    Look look;
    look.on_epoch = [&](const EpochResult& result) {
      if (result.epoch == stop_after) trainer.stop();
    };
    if (options.keep == Keep::best) trainer.validate(parted.held_out);
    if (tests) trainer.test(tiny_images().test);
    trainer.observe(look).run();
    return train::text_by_elements(train::evaluation_json(
               evaluate(parts.net, tiny_images().test, {.batch = 24}), {"a", "b", "c", "d"})) +
           "\n";
  };
  const auto path = [&](const char* name) { return directory.file(name) / "evaluation.json"; };
  train("last", {.directory = "run"}, 2);
  CHECK(!std::filesystem::exists(path("last")));
  const std::string last = train("last", {.directory = "run"});
  CHECK(contents_of(path("last")) == last);
  put(path("last"), "mine");
  train("last", {.directory = "run"});  // it has ended
  CHECK(contents_of(path("last")) == "mine");
  std::filesystem::remove(path("last"));  // as a run of an earlier version, or one killed at its very end
  train("last", {.directory = "run"});
  CHECK(contents_of(path("last")) == last);

  const std::string best = train("best", {.directory = "run", .keep = Keep::best});
  CHECK(contents_of(path("best")) == best);
  train("untested", {.directory = "run"}, 0, false);
  CHECK(std::filesystem::exists(directory.file("untested") / "weights.safetensors"));
  CHECK(!std::filesystem::exists(path("untested")));
  const std::size_t entries = directory.entries();
  train("nowhere", {});
  CHECK(directory.entries() == entries);
}

TEST_CASE("an objective of one's own has no classes") {
  const Directory directory;
  PixelLinear net(4);
  OwnObjective objective(net, [&](const data::Part& part) {
    return part.mean(cross_entropy_per_sample(net(part.images()), part.labels));
  });
  Sgd optimizer(net.parameters(), {.lr = 0.01});
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  Trainer(objective, optimizer, loader, {.directory = directory.file("run")}).test(tiny_images().test).run();
  CHECK(std::filesystem::exists(directory.file("run") / "weights.safetensors"));
  CHECK(!std::filesystem::exists(directory.file("run") / "evaluation.json"));
}

TEST_CASE("an evaluation is read back, and a damaged one refused") {
  const Directory directory;
  const std::filesystem::path path = directory.file("evaluation.json");
  Evaluation evaluation{.confusion = ConfusionMatrix(2)};
  evaluation.confusion.add(0, 1, 3);
  const std::string text = train::text_by_elements(train::evaluation_json(evaluation, {"cat", "a \"dog\""}));
  put(path, text);
  const train::ClassResults results = train::read_evaluation(path);
  CHECK(results.classes == std::vector<std::string>{"cat", "a \"dog\""});
  CHECK(results.confusion.count(0, 1) == 3);
  CHECK(results.confusion.samples(1) == 0);
  CHECK(nlohmann::json::parse(text)["per_class"][1]["accuracy"].is_null());
  const auto refused = [&](const std::string& contents, const char* reason) {
    put(path, contents);
    return unexplained([&] { train::read_evaluation(path); }, {path.c_str(), reason}) == "nothing";
  };
  CHECK(refused(text.substr(0, text.size() / 2), "not a JSON object"));
  CHECK(refused("{}", "per_class"));
  CHECK(
      refused(R"({"per_class": [{"class": "a"}], "confusion": [[1, 2], [3, 4]]})", "1 classes, but 2 rows"));
  CHECK(refused(R"({"per_class": [{"class": "a"}], "confusion": [[1, 2]]})", "row 0 of 2 numbers"));
  CHECK(
      refused(R"({"per_class": [{"class": "a"}], "confusion": [["x"]]})", "\"x\": expected a whole number"));
}

}  // namespace lamina::tests
