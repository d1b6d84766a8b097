// What Hessians satisfy whatever the numbers are.
#include <cmath>

#include "analysis/eigenvalues.h"
#include "analysis/lanczos.h"
#include "analysis/loss_surface.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "core/backend.h"
#include "golden_net.h"
#include "message_of.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using analysis::add_scaled;
using analysis::BatchNormMode;
using analysis::inner_product;
using analysis::length;
using analysis::LossSurface;

struct Point {
  explicit Point(BatchNormMode mode, std::int64_t micro_batch = 8)
      : objective(net), surface(objective, golden_parts(micro_batch), mode) {}
  GoldenNet net;
  Classification objective;
  LossSurface surface;
};

Tensor random_vector(std::uint32_t draw) {
  return Tensor::randn({379}, {.dtype = DType::f64, .seed = 5, .draw = draw});
}

// Of all elements but those of one parameter.
std::int64_t first_of(const LossSurface& surface, const std::string& name) {
  for (const analysis::ParameterRange& range : surface.parameters())
    if (range.name == name) return range.first;
  return -1;
}

}  // namespace

TEST_CASE("products are linear and symmetric") {
  for (const BatchNormMode mode : {BatchNormMode::eval, BatchNormMode::train}) {
    const Point point(mode);
    const Tensor u = random_vector(0), v = random_vector(1);
    const Tensor hu = point.surface.product(u), hv = point.surface.product(v);
    CHECK(std::abs(inner_product(u, hv) - inner_product(v, hu)) < 1e-12 * length(hu) * length(v));
    Tensor sum = u.clone();
    add_scaled(sum, 2, v);
    Tensor difference = point.surface.product(sum);
    add_scaled(difference, -1, hu);
    add_scaled(difference, -2, hv);
    CHECK(length(difference) < 1e-12 * length(hv));
  }
}

TEST_CASE("in evaluation mode the parts change nothing, in training mode they are part of the function") {
  const Tensor v = random_vector(0);
  const auto distance = [&](BatchNormMode mode) {
    Tensor difference = Point(mode, 8).surface.product(v);
    add_scaled(difference, -1, Point(mode, 3).surface.product(v));  // 3, 3 and 2 samples
    return length(difference);
  };
  CHECK(distance(BatchNormMode::eval) < 1e-12);
  CHECK(distance(BatchNormMode::train) > 0.1);
}

TEST_CASE("products of several blocks are those of each") {
  const Point point(BatchNormMode::train);
  std::vector<analysis::BlockProduct> blocks;
  for (std::size_t i = 0; i < point.surface.parameters().size(); ++i)
    blocks.push_back({.parameters = {i},
                      .vector = random_vector(static_cast<std::uint32_t>(i))
                                    .flat(0, {point.surface.parameters()[i].size})
                                    .clone(),
                      .product = {}});
  point.surface.products(blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const analysis::ParameterRange& range = point.surface.parameters()[i];
    Tensor whole = Tensor::zeros({379}, f64);
    Tensor there = whole.flat(range.first, {range.size});
    there.copy_from(blocks[i].vector);
    const Tensor expected = point.surface.product(whole).flat(range.first, {range.size});
    CHECK(expected.clone().to_vector<double>() == blocks[i].product.to_vector<double>());
  }
}

// Euler's theorem for a function of degree 0: w_f·∂L/∂w_f = 0 and H w_f = −∂L/∂w_f within the filter, 0
// elsewhere, up to the eps of batch normalisation.
TEST_CASE("in training mode the loss does not change with the length of a normalised filter") {
  const Point point(BatchNormMode::train);
  const Tensor gradient = Tensor::zeros({379}, f64);
  point.surface.gradient(gradient);
  const std::int64_t first = first_of(point.surface, "conv1.weight");
  constexpr std::int64_t filter = 27;
  Tensor radial = Tensor::zeros({379}, f64);
  Tensor there = radial.flat(first, {filter});
  there.copy_from(point.surface.position().flat(first, {filter}));
  CHECK(std::abs(inner_product(radial, gradient)) < 1e-4 * length(gradient));
  Tensor sum = point.surface.product(radial);
  Tensor within = sum.flat(first, {filter});
  add_scaled(within, 1, gradient.flat(first, {filter}));
  CHECK(length(sum) < 1e-3 * length(gradient));

  // Twice as long, a layer has a quarter of the curvature; times ‖w_k‖² it is as before.
  const auto largest_of_conv1 = [&] {
    const analysis::EigenResult found = analysis::extreme_eigenvalues(
        [&](std::span<const Tensor> vectors) {
          std::vector<Tensor> products;
          for (const Tensor& v : vectors) {
            analysis::BlockProduct block{.parameters = {0}, .vector = v, .product = {}};
            point.surface.products(std::span(&block, 1));
            products.push_back(block.product);
          }
          return products;
        },
        108, DType::f64, {.tolerance = 1e-8});
    return found.values.front();
  };
  const double before = largest_of_conv1(), loss = point.surface.value().loss();
  const Tensor w = point.surface.position();
  analysis::scale(w.flat(first, {108}), 2);
  point.surface.move_to(w);
  CHECK(std::abs(point.surface.value().loss() - loss) < 1e-5);
  CHECK(std::abs(4 * largest_of_conv1() / before - 1) < 1e-3);
}

TEST_CASE("products are the second derivatives along a line") {
  // So small a step that no ReLU changes sides: there the second derivative would jump.
  const Point point(BatchNormMode::eval);
  const Tensor v = random_vector(3), w = point.surface.position();
  const auto loss_at = [&](double t) {
    Tensor there = w.clone();
    add_scaled(there, t, v);
    point.surface.move_to(there);
    return point.surface.value().loss();
  };
  const double h = 5e-6, second = (-loss_at(2 * h) + 16 * loss_at(h) - 30 * loss_at(0) + 16 * loss_at(-h) -
                                   loss_at(-2 * h)) /
                                  (12 * h * h);
  point.surface.move_to(w);
  const double exact = inner_product(v, point.surface.product(v));
  CHECK(std::abs(second - exact) < 1e-4 * std::abs(exact));
}

TEST_CASE("products have the same bits for any number of threads, and leave the module as it was") {
  Point point(BatchNormMode::train);
  std::vector<double> before;
  for (const auto& param : point.net.state()) {
    const std::vector<double> values = cast(param->value, DType::f64).to_vector<double>();
    before.insert(before.end(), values.begin(), values.end());
  }
  point.net.eval();
  std::vector<double> first;
  for (const int count : {1, 2, 4}) {
    set_threads(count);
    const std::vector<double> product = point.surface.product(random_vector(0)).to_vector<double>();
    if (first.empty()) first = product;
    CHECK(product == first);
  }
  set_threads(1);
  CHECK(!point.net.training());
  std::vector<double> after;
  for (const auto& param : point.net.state()) {
    const std::vector<double> values = cast(param->value, DType::f64).to_vector<double>();
    after.insert(after.end(), values.begin(), values.end());
  }
  CHECK(after == before);
}

TEST_CASE("Lanczos ends where the space is complete") {
  // The identity: every vector is an eigenvector.
  analysis::Lanczos lanczos(random_vector(0));
  lanczos.advance(lanczos.vector());
  CHECK(lanczos.complete());
  CHECK(std::abs(lanczos.ritz().values.front() - 1) < 1e-14);
  CHECK(unexplained([&] { lanczos.advance(lanczos.vector()); }, {"complete after 1 steps"}) == "nothing");
  CHECK(unexplained([] { analysis::Lanczos(Tensor::zeros({3}, f64)); }, {"length 0"}) == "nothing");
}

TEST_CASE("surfaces and options that make no sense are refused") {
  GoldenNet net;
  Classification objective(net);
  CHECK(unexplained([&] { LossSurface(objective, golden_parts(1), BatchNormMode::train); },
                    {"the statistics of one sample"}) == "nothing");
  CHECK(unexplained([&] { LossSurface(objective, {}, BatchNormMode::eval); }, {"0 parts"}) == "nothing");
  const LossSurface surface(objective, golden_parts(), BatchNormMode::eval);
  CHECK(unexplained([&] { surface.product(Tensor::zeros({378}, f64)); }, {"expected 379 elements"}) ==
        "nothing");
  const analysis::Operator h = analysis::hessian_of(surface);
  CHECK(unexplained([&] { analysis::extreme_eigenvalues(h, 379, DType::f64, {.top = 380}); },
                    {"expected 1 to 379"}) == "nothing");
  CHECK(unexplained([&] { analysis::extreme_eigenvalues(h, std::int64_t{1} << 50, DType::f64, {}); },
                    {"would fit"}) == "nothing");
  net.parameter("conv1.weight").value.detach().data<double>()[0] = std::nan("");
  CHECK(unexplained([&] { surface.product(Tensor::zeros({379}, f64)); }, {"not finite"}) == "nothing");
}

}  // namespace lamina::tests
