// What is measured on the features of a frozen network.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "catch.h"
#include "core/autograd.h"
#include "core/math/argmax.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/knn.h"
#include "train/linear_probe.h"
#include "train/minimise.h"

namespace lamina::tests {
namespace {

// Standard normal around the class's own corner, `apart` away from 0. Classes take turns.
Features made_up(std::int64_t count, int classes, double apart, std::uint64_t seed) {
  const std::int64_t width = 8;
  const Tensor noise = Tensor::randn({count, width}, {.seed = seed, .draw = 0});
  Features features{.values = noise};
  for (std::int64_t i = 0; i < count; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(i % classes));
    noise.data<float>()[i * width + i % classes] += static_cast<float>(apart);
  }
  return features;
}

Features one_hot_features(std::int64_t count, int classes) {
  Features features{.values = Tensor::zeros({count, classes})};
  for (std::int64_t i = 0; i < count; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(i % classes));
    features.values.data<float>()[i * classes + i % classes] = 1;
  }
  return features;
}

Features in_order(const Features& features, const std::vector<std::int64_t>& order) {
  Features result{.values = Tensor::empty_like(features.values)};
  for (std::int64_t i = 0; i < features.size(); ++i) {
    const std::int64_t row = order[static_cast<std::size_t>(i)];
    result.values.rows(i, 1).copy_from(features.values.rows(row, 1));
    result.labels.push_back(features.labels[static_cast<std::size_t>(row)]);
  }
  return result;
}

Features with_shuffled_labels(Features features, std::uint64_t seed) {
  const std::vector<std::int32_t> labels = features.labels;
  const auto order = permutation(features.size(), {.seed = seed});
  for (std::size_t i = 0; i < labels.size(); ++i)
    features.labels[i] = labels[static_cast<std::size_t>(order[i])];
  return features;
}

// Counts its calls in a buffer, in whatever mode it is.
class CountingNet final : public Module {
 public:
  explicit CountingNet(bool counts)
      : counts_(counts), calls_(add_param("calls", ParamKind::buffer, Tensor::zeros({1}))) {}
  std::string kind() const override { return "CountingNet"; }

 private:
  Tensor forward(const Tensor& x) override {
    if (counts_) calls_->value.copy_from(calls_->value + 1.0);
    return reshape(x, {x.size(0), x.elements() / x.size(0)});
  }
  bool counts_;
  std::shared_ptr<Param> calls_;
};

}  // namespace

TEST_CASE("features are what the last layer sees of the plain images, in evaluation mode") {
  ResNet net("resnet8", {.classes = 4, .seed = 3});
  const std::string before = bits_of(net);
  const Features features = features_of(net, tiny_images().test, {.batch = 7, .workers = 0});
  REQUIRE(features.values.shape() == Shape{40, 64});
  CHECK(features.labels == tiny_images().test.labels.to_vector<std::int32_t>());
  CHECK(features.classes() == 4);
  CHECK(net.training());
  CHECK(bits_of(net) == before);

  const NoGrad no_grad;
  net.eval();
  for (const data::Part& part : data::evaluation_loader(tiny_images().test, 7, 0).epoch(0))
    for (std::int64_t i = 0; i < part.size(); ++i)
      CHECK(net.features(part.images()).rows(i, 1).to_vector<float>() ==
            features.values.rows(part.samples[static_cast<std::size_t>(i)], 1).to_vector<float>());
  CHECK(features_of(static_cast<Module&>(net), tiny_images().test, {.batch = 7}).values.to_vector<float>() ==
        features.values.to_vector<float>());
}

TEST_CASE("a network that changes itself in evaluation mode has no features") {
  CountingNet still(false), counting(true);
  CHECK(features_of(still, tiny_images().test).width() == 8 * 8 * 3);
  CHECK(unexplained([&] { features_of(counting, tiny_images().test); },
                    {"CountingNet has changed its calls"}) == "nothing");
}

TEST_CASE("the nearest neighbour of a training image is itself") {
  const Features features = made_up(200, 4, 0, 1);
  const KnnResult result = knn(features, features, {.k = 1});
  CHECK(result.accuracy == 1);
  CHECK(result.correct == 200);
  CHECK(result.predictions == features.labels);
}

TEST_CASE("neighbours weigh exp(cosine / temperature)") {
  // From (1, 0): one image of class 1 at cosine 1, three of class 0 at 0.6. e^(0.4 / τ) is 3 at τ = 0.364.
  const Features bank{.values = Tensor::from({2.f, 0.f, .6f, .8f, 3.f, 4.f, .6f, -.8f}, {4, 2}),
                      .labels = {1, 0, 0, 0}};
  const Features query{.values = Tensor::from({1.f, 0.f}, {1, 2}), .labels = {1}};
  CHECK(knn(bank, query, {.temperature = 0.36}).predictions.front() == 1);
  CHECK(knn(bank, query, {.temperature = 0.37}).predictions.front() == 0);
  const Features two{.values = bank.values.rows(1, 3), .labels = {1, 2, 0}};
  CHECK(knn(two, query).predictions.front() == 0);  // of equal scores the smallest class
  CHECK(knn(bank, query, {.k = 1, .temperature = 1e-4}).predictions.front() == 1);
  const KnnResult all = knn(bank, query, {.k = 200, .temperature = 0.36});
  CHECK(all.k == 4);
  CHECK(all.temperature == 0.36);
}

TEST_CASE("neither the bank's order nor the threads change a prediction, equal images or not") {
  for (const Features& bank : {made_up(500, 5, 1, 1), one_hot_features(500, 5)}) {
    const Features queries = bank.width() == 8 ? made_up(300, 5, 1, 2) : one_hot_features(300, 5);
    const Features shuffled = in_order(bank, permutation(bank.size(), {.seed = 9}));
    for (const std::int64_t k : {1, 20, 150, 500}) {
      set_threads(1);
      const std::vector<std::int32_t> one = knn(bank, queries, {.k = k}).predictions;
      set_threads(3);
      CHECK(knn(bank, queries, {.k = k}).predictions == one);
      CHECK(knn(shuffled, queries, {.k = k}).predictions == one);
      set_threads(1);
    }
  }
}

TEST_CASE("one-hot features are read off wholly, shuffled labels not at all") {
  const Features train = one_hot_features(200, 10), test = one_hot_features(90, 10);
  const LinearProbe probe = linear_probe(train, test);
  CHECK(probe.top1 == 1);
  CHECK(probe.top5 == 1);
  CHECK(probe.classes == 10);
  CHECK(probe.width == 10);
  CHECK(knn(train, test, {.k = 20}).accuracy == 1);

  // Chance is 1/5; the standard deviation of a share of 1000 is 0.013: four of them.
  const Features seeing = made_up(1000, 5, 2, 1), queries = made_up(1000, 5, 2, 2);
  const Features blind = with_shuffled_labels(seeing, 5), blind_queries = with_shuffled_labels(queries, 6);
  CHECK(std::abs(linear_probe(blind, blind_queries).top1 - 0.2) < 0.052);
  CHECK(std::abs(knn(blind, blind_queries).accuracy - 0.2) < 0.052);
  CHECK(linear_probe(seeing, queries).top1 > 0.8);
}

TEST_CASE("the probe's logits are of features as they are, and its bits the same for any number of threads") {
  Features train = made_up(300, 4, 1, 1), test = made_up(200, 4, 1, 2);
  for (Features* features : {&train, &test})  // scales of their own, and a feature that does not vary
    for (std::int64_t i = 0; i < features->size(); ++i) {
      float* row = features->values.data<float>() + i * features->width();
      row[0] = 1000 + 50 * row[0];
      row[7] = 0.1f;
    }
  set_threads(1);
  const LinearProbe probe = linear_probe(train, test, {.l2 = 0.01});
  const Tensor logits = linear(test.values.to(DType::f64), probe.weight, probe.bias);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < test.size(); ++i)
    correct += math::argmax(logits[i].data<double>(), 4) == test.labels[static_cast<std::size_t>(i)] ? 1 : 0;
  CHECK(probe.correct == correct);
  set_threads(3);
  CHECK(linear_probe(train, test, {.l2 = 0.01}).weight.to_vector<double>() ==
        probe.weight.to_vector<double>());
  set_threads(1);
}

TEST_CASE("λ is the one that is right most often on a tenth that the seed alone chooses") {
  const Features train = made_up(400, 4, 1, 1), test = made_up(200, 4, 1, 2);
  const LinearProbe probe = linear_probe(train, test, {.seed = 7});
  REQUIRE(probe.held_out.size() == linear_probe_grid().size());
  const auto accuracy_of = [&](std::size_t i) { return probe.held_out[i].accuracy; };
  std::size_t best = 0;
  for (std::size_t i = 0; i < probe.held_out.size(); ++i) {
    CHECK(probe.held_out[i].l2 == linear_probe_grid()[i]);
    CHECK(probe.held_out[i].converged);
    CHECK(probe.held_out[i].gradient <= 1e-5);
    CHECK(std::abs(40 * accuracy_of(i) - std::round(40 * accuracy_of(i))) < 1e-9);  // of 40 images
    if (accuracy_of(i) > accuracy_of(best)) best = i;
  }
  CHECK(probe.fit.l2 == linear_probe_grid()[best]);
  const LinearProbe again = linear_probe(train, test, {.seed = 7}),
                    other = linear_probe(train, test, {.seed = 8});
  CHECK(again.weight.to_vector<double>() == probe.weight.to_vector<double>());
  CHECK(again.held_out[3].accuracy == probe.held_out[3].accuracy);
  CHECK(other.held_out[3].gradient != probe.held_out[3].gradient);
}

TEST_CASE(
    "a search that ends short of its bound tells a limit from rounding and from a line search that fails") {
  const auto stopped_by = [](const train::SmoothFunction& function, const train::MinimiseOptions& options) {
    std::vector<double> x{1, -2};
    const train::Minimum found = train::minimise(function, x, options);
    CHECK(!found.reached);
    return found.stopped_by;
  };
  // Rosenbrock's function; its gradient has the sign, and its value is NaN after the first if `breaks`.
  const auto valley = [](double sign, bool breaks) {
    return [sign, breaks, calls = std::make_shared<int>(0)](std::span<const double> x,
                                                            std::span<double> gradient) {
      const double off = x[1] - x[0] * x[0];
      gradient[0] = sign * (-400 * x[0] * off - 2 * (1 - x[0]));
      gradient[1] = sign * 200 * off;
      if (breaks && ++*calls > 2) return std::nan("");  // the first two are of the start
      return 100 * off * off + (1 - x[0]) * (1 - x[0]);
    };
  };
  const auto slope = [](std::span<const double> x, std::span<double> gradient) {
    gradient[0] = -1, gradient[1] = 0;
    return -x[0];
  };
  CHECK(stopped_by(valley(1, false), {.max_iterations = 2}) == "the limit of iterations");
  CHECK(stopped_by(valley(-1, false), {}).starts_with("rounding"));
  CHECK(stopped_by(valley(1, true), {}).starts_with("the line search, which found no step"));
  CHECK(stopped_by(slope, {}) == "the line search, whose steps grew without end");
}

TEST_CASE("a fit that ends short of its bound says so") {
  const Features train = made_up(300, 4, 1, 1), test = made_up(200, 4, 1, 2);
  const LinearProbe short_of = linear_probe(train, test, {.l2 = 1e-6, .max_iterations = 2});
  CHECK(!short_of.fit.converged);
  CHECK(short_of.fit.iterations == 2);
  CHECK(short_of.fit.gradient > 1e-5);
  CHECK(short_of.fit.stopped_by == "the limit of iterations");
  const LinearProbe impossible = linear_probe(train, test, {.l2 = 1e-2, .gradient_bound = 1e-300});
  CHECK(!impossible.fit.converged);
  CHECK(impossible.fit.stopped_by.starts_with("rounding"));
}

TEST_CASE("what cannot be measured is refused with what it is") {
  const Features good = made_up(40, 4, 1, 1);
  Features unlabelled = good, negative = good, not_finite = good, wide = one_hot_features(40, 9),
           alike = good;
  unlabelled.labels.clear();
  negative.labels[3] = -1;
  not_finite.values = good.values.clone();
  not_finite.values.data<float>()[9] = std::numeric_limits<float>::quiet_NaN();
  std::fill(alike.labels.begin(), alike.labels.end(), 2);
  const auto knn_says = [&](const Features& bank, const Features& queries, const KnnOptions& options = {}) {
    return [=] { knn(bank, queries, options); };
  };
  const auto probe_says = [&](const Features& train, const LinearProbeOptions& options = {}) {
    return [=] { linear_probe(train, good, options); };
  };
  CHECK(unexplained(knn_says(unlabelled, good), {"the bank: 0 labels for the features of 40 images"}) ==
        "nothing");
  CHECK(unexplained(knn_says(good, negative), {"the queries: a label is -1"}) == "nothing");
  CHECK(unexplained(knn_says(not_finite, good), {"feature 1 of image 1 is nan"}) == "nothing");
  CHECK(unexplained(knn_says(wide, good), {"9 features an image, the queries have 8"}) == "nothing");
  CHECK(unexplained(knn_says({}, good), {"of at least one image"}) == "nothing");
  CHECK(unexplained(knn_says(good, good, {.k = 0}), {"k 0: expected"}) == "nothing");
  CHECK(unexplained(knn_says(good, good, {.temperature = 0}), {"temperature 0: expected"}) == "nothing");
  CHECK(unexplained(probe_says(unlabelled), {"the training features: 0 labels"}) == "nothing");
  CHECK(unexplained(probe_says(alike), {"all training images are of class 2"}) == "nothing");
  CHECK(unexplained(probe_says(wide), {"9 features of a training image, 8 of a test image"}) == "nothing");
  CHECK(unexplained(probe_says(one_hot_features(9, 8)), {"expected at least 10"}) == "nothing");
  CHECK(unexplained(probe_says(good, {.l2 = 0}), {"l2 0: expected"}) == "nothing");
}

}  // namespace lamina::tests
