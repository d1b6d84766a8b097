// Barlow Twins, NT-Xent and VICReg as functions of embeddings: values and gradients of PyTorch, closed forms
// against compositions of ops, and what must not change them.
#include <cmath>
#include <functional>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "message_of.h"
#include "optim/norms.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/co_moments.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"

namespace lamina::tests {
namespace {

using EmbeddingLoss = std::function<Tensor(const Tensor&, const Tensor&)>;

// z_a and z_b [8, 6], f64.
Tensor golden_view(bool second) {
  std::vector<double> values;
  for (int i = 0; i < 48; ++i)
    values.push_back(std::sin(0.7 * i + 0.3) + 0.1 * std::cos(2.1 * i) +
                     (second ? 0.5 * std::cos(1.3 * i + 0.5) : 0));
  return Tensor::from(values, {8, 6});
}

double relative_difference(const Tensor& a, const Tensor& b) {  // relative, of the whole
  return norm(a.detach() - b.detach()).item() / norm(b.detach()).item();
}

struct LossPair {
  const char* name;
  EmbeddingLoss fused, composed;
};

template <typename Options>
LossPair loss_pair(const char* name, Tensor (*fused)(const Tensor&, const Tensor&, const Options&),
                   Tensor (*composed)(const Tensor&, const Tensor&, const Options&), const Options& options) {
  return {name, [=](const Tensor& a, const Tensor& b) { return fused(a, b, options); },
          [=](const Tensor& a, const Tensor& b) { return composed(a, b, options); }};
}

LossPair barlow(const BarlowTwinsOptions& options) {
  return loss_pair("Barlow Twins", &barlow_twins_loss, &barlow_twins_loss_composed, options);
}
LossPair nt_xent(const SimClrOptions& options) {
  return loss_pair("NT-Xent", &nt_xent_loss, &nt_xent_loss_composed, options);
}
LossPair vicreg(const VicRegOptions& options) {
  return loss_pair("VICReg", &vicreg_loss, &vicreg_loss_composed, options);
}

std::vector<LossPair> all_losses() {
  return {barlow({}),  barlow({.lambda = 0.3, .scale = 0.1, .nominal_batch = 20}),
          nt_xent({}), nt_xent({.temperature = 0.1, .scale = 2}),
          vicreg({}),  vicreg({.covariance_weight = 7, .gamma = 0.7, .sum_variances = true})};
}

std::vector<Tensor> embedding_gradients(const EmbeddingLoss& loss, const Tensor& z_a, const Tensor& z_b) {
  Tensor a = z_a.clone(), b = z_b.clone();
  a.requires_grad_(), b.requires_grad_();
  return grad(loss(a, b), {a, b});
}

}  // namespace

// PyTorch 2.15 in f64, as its authors' codes compute them. The numbers have 12 decimals.
TEST_CASE("the losses and their gradients are PyTorch's") {
  struct Golden {
    LossPair loss;
    double value, norm_a, norm_b, first_of_a, last_of_b;
  };
  const std::vector<Golden> cases{
      {barlow({.lambda = 0.005}), 0.129991428496, 0.133169394202, 0.130141459273, -0.036125785114,
       -0.001704178131},
      {nt_xent({.temperature = 0.5}), 1.648983734592, 0.168096178914, 0.073982107417, -0.049504882245,
       0.006749177360},
      {nt_xent({.temperature = 0.2}), 1.489798375441, 0.413167359827, 0.105314054590, -0.128460139965,
       0.014401429501},
      {vicreg({}), 10.040299639767, 2.760954490914, 2.285023773616, -0.525006679355, -0.100033980197}};
  const Tensor z_a = golden_view(false), z_b = golden_view(true);
  for (const Golden& golden : cases) {
    for (const EmbeddingLoss& loss : {golden.loss.fused, golden.loss.composed}) {
      INFO(golden.loss.name);
      const std::vector<Tensor> gradients = embedding_gradients(loss, z_a, z_b);
      CHECK(std::abs(loss(z_a, z_b).item() - golden.value) < 1e-12);
      CHECK(std::abs(norm(gradients[0]).item() - golden.norm_a) < 1e-12);
      CHECK(std::abs(norm(gradients[1]).item() - golden.norm_b) < 1e-12);
      CHECK(std::abs(gradients[0].data<double>()[0] - golden.first_of_a) < 1e-12);
      CHECK(std::abs(gradients[1].data<double>()[47] - golden.last_of_b) < 1e-12);
    }
  }
}

TEST_CASE("variants of the losses are those of solo-learn and google-research") {
  const Tensor a = golden_view(false), b = golden_view(true);
  CHECK(std::abs(barlow_twins_loss(a, b, {.lambda = 0.0051, .scale = 0.1}).item() - 0.013110735951) < 1e-12);
  CHECK(std::abs(nt_xent_loss(a, b, {.temperature = 0.2}).item() - 1.489798375441) < 1e-12);
  CHECK(std::abs(vicreg_loss(a, b, {.sum_variances = true}).item() - 15.410115439373) < 1e-12);
  CHECK(std::abs(nt_xent_loss(a, b, {.temperature = 0.5, .scale = 2}).item() - 2 * 1.648983734592) < 2e-12);
}

TEST_CASE("the closed gradients of embeddings are those of compositions of ops, second derivatives too") {
  const RandomOptions f64{.dtype = DType::f64, .seed = 5};
  const auto draw = [&](std::uint32_t i) {
    RandomOptions options = f64;
    options.draw = i;
    return Tensor::randn({300, 7}, options);  // more rows than NT-Xent takes at once
  };
  const Tensor z_a = draw(0) + 3.0, z_b = 0.7 * z_a + 0.5 * draw(1), da = draw(2), db = draw(3);
  for (const LossPair& loss : all_losses()) {
    INFO(loss.name);
    const auto closed = embedding_gradients(loss.fused, z_a, z_b),
               opened = embedding_gradients(loss.composed, z_a, z_b);
    CHECK(std::abs(loss.fused(z_a, z_b).item() / loss.composed(z_a, z_b).item() - 1) < 1e-12);
    CHECK(relative_difference(closed[0], opened[0]) < 1e-12);
    CHECK(relative_difference(closed[1], opened[1]) < 1e-12);
    const auto second = [&](const EmbeddingLoss& f) {  // H d
      Tensor a = z_a.clone(), b = z_b.clone();
      a.requires_grad_(), b.requires_grad_();
      const auto g = grad(f(a, b), {a, b}, {}, {.create_graph = true});
      return grad(sum(g[0] * da) + sum(g[1] * db), {a, b});
    };
    const auto fused = second(loss.fused);
    // Finite differences of the closed gradient: with a step of 1e-4 their error is about 1e-8.
    const double h = 1e-4;
    const auto ahead = embedding_gradients(loss.fused, z_a + h * da, z_b + h * db),
               behind = embedding_gradients(loss.fused, z_a - h * da, z_b - h * db);
    CHECK(relative_difference(fused[0], (ahead[0] - behind[0]) / (2 * h)) < 1e-5);
    CHECK(relative_difference(fused[1], (ahead[1] - behind[1]) / (2 * h)) < 1e-5);
  }
}

TEST_CASE("losses of embeddings do not see the order of samples, nor what they are to be blind to") {
  const Tensor a = golden_view(false), b = golden_view(true);
  const Tensor order = Tensor::from({3, 1, 7, 0, 6, 2, 5, 4}, {8});
  for (const LossPair& loss : all_losses()) {
    INFO(loss.name);
    const double permuted = loss.fused(index_select(a, 0, order), index_select(b, 0, order)).item();
    CHECK(std::abs(permuted / loss.fused(a, b).item() - 1) < 1e-13);
  }
  const Tensor scale = Tensor::from({1.0, 2.0, 3.0, 0.5, 7.0, 1.5}, {1, 6});
  // ε = 1e-5 beside variances of a half and more
  CHECK(std::abs(barlow_twins_loss(a * scale + 5.0, b).item() / barlow_twins_loss(a, b).item() - 1) < 1e-3);
  CHECK(std::abs(nt_xent_loss(3.0 * a, b).item() - nt_xent_loss(a, b).item()) < 1e-14);
  // Identical views: C_ii = v / (v + ε), and neither pulls on the other.
  const Tensor v = var(a, 0, {.correction = 0});
  const double expected = sum(square(1e-5 / (v + 1e-5))).item();
  CHECK(std::abs(barlow_twins_loss(a, a, {.lambda = 0}).item() / expected - 1) < 1e-6);  // 1 − C_ii is 1e-5
  const VicRegOptions pull{.variance_weight = 0, .covariance_weight = 0};
  CHECK(vicreg_loss(a, a, pull).item() == 0);
}

TEST_CASE("alignment and uniformity are Wang and Isola's") {
  const Tensor u_a = normalize(golden_view(false)), u_b = normalize(golden_view(true));
  double distances = 0, potential = 0;
  for (int i = 0; i < 8; ++i) {
    distances += squared_distance(u_a[i], u_b[i]);
    for (int j = 0; j < i; ++j) potential += std::exp(-2 * squared_distance(u_a[i], u_a[j]));
  }
  CHECK(std::abs(alignment(u_a, u_b).item() - distances / 8) < 1e-14);
  CHECK(std::abs(uniformity(u_a).item() - std::log(potential / 28)) < 1e-14);
  const Tensor point = normalize(Tensor::ones({5, 3}, {.dtype = DType::f64}));
  CHECK(std::abs(uniformity(point).item()) < 1e-14);
  CHECK(alignment(point, -point).item() == 4 * sum(square(point[0])).item());
}

TEST_CASE("moments of parts are those of the whole, with means far from zero") {
  const RandomOptions f64{.dtype = DType::f64, .seed = 5};
  const Tensor x = Tensor::randn({50, 4}, f64) + 1e6, y = 0.5 * x + Tensor::randn({50, 4}, f64);
  train::CoMoments whole, parts;
  whole.add(x, y);
  for (const auto& [first, count] : {std::pair(0, 7), std::pair(7, 1), std::pair(8, 42)})
    parts.add(x.rows(first, count), y.rows(first, count));
  CHECK(parts.count == 50);
  // Deviations of one beside a mean of 10^6: ten digits are left of sixteen.
  CHECK(relative_difference(parts.mean_x, whole.mean_x) < 1e-15);
  CHECK(relative_difference(parts.squares_x, whole.squares_x) < 1e-9);
  CHECK(relative_difference(parts.squares_y, whole.squares_y) < 1e-9);
  CHECK(relative_difference(parts.products, whole.products) < 1e-9);
  train::CoMoments narrow;
  narrow.add(cast(x, DType::f32), cast(y, DType::f32));
  CHECK(narrow.products.dtype() == DType::f32);
  narrow.add(cast(x, DType::f32), cast(y, DType::f32));
  CHECK(narrow.products.dtype() == DType::f64);
}

TEST_CASE("losses of embeddings name what they were given") {
  const Tensor z = golden_view(false);
  using Words = std::initializer_list<const char*>;
  const auto refused = [&](const Tensor& a, const Tensor& b, Words words) {
    return unexplained([&] { barlow_twins_loss(a, b); }, words) +
           unexplained([&] { nt_xent_loss(a, b); }, words) + unexplained([&] { vicreg_loss(a, b); }, words);
  };
  const std::string none = "nothingnothingnothing";
  CHECK(refused(z, z.rows(0, 4), {"f64[8, 6]", "f64[4, 6]", "one shape"}) == none);
  CHECK(refused(z.rows(0, 1), z.rows(0, 1), {"f64[1, 6]", "at least 2 samples"}) == none);
  CHECK(refused(z, cast(z, DType::f32), {"one dtype"}) == none);
  CHECK(refused(z.view({2, 4, 6}), z.view({2, 4, 6}), {"f64[2, 4, 6]", "[N, D]"}) == none);
}

}  // namespace lamina::tests
