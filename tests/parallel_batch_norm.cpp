// Batch normalisation with the statistics of all ranks: what the ranks compute together is what one process
// computes of the whole batch.
#include <vector>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "core/parallel/collective.h"
#include "core/random.h"

namespace lamina {
namespace {

constexpr std::int64_t rows = 13, channels = 5;  // no number of ranks divides them

Tensor numbers(const Shape& shape, std::uint64_t seed) {
  return Tensor::randn(shape, {.dtype = DType::f64, .seed = seed, .draw = 0});
}

// Of the sum of all ranks' losses: what it is normalised to, its gradients, and the gradients' products with
// fixed vectors, differentiated once more.
struct Derivatives {
  Tensor y, running_mean, running_var;
  std::vector<Tensor> first, second;  // with respect to x, weight and bias
};

Derivatives derivatives(std::int64_t begin, std::int64_t end, bool with_residual, Collective* ranks) {
  const auto share = [&](std::uint64_t seed) {
    return numbers({rows, channels}, seed).rows(begin, end - begin).clone();
  };
  Tensor x = share(1), weight = numbers({channels}, 2), bias = numbers({channels}, 3);
  for (Tensor* t : {&x, &weight, &bias}) t->requires_grad_();
  const BatchNormParams params{weight, bias, Tensor::zeros({channels}, {DType::f64}),
                               Tensor::full({channels}, 1, {DType::f64})};
  BatchNormOptions options{.relu = true};
  if (ranks != nullptr) options.sum_over_ranks = [ranks](std::span<double> values) { ranks->sum(values); };
  const Tensor y = batch_norm(x, params, options, with_residual ? share(4) : Tensor());
  const std::vector<Tensor> inputs{x, weight, bias};
  Derivatives d{.y = y.detach(),
                .running_mean = params.running_mean,
                .running_var = params.running_var,
                .first = {},
                .second = {}};
  d.first = grad(sum(square(y) * share(5)), inputs, {}, {.create_graph = true});
  Tensor product = sum(d.first[0] * share(6));
  for (std::size_t k = 1; k < 3; ++k) product = product + sum(d.first[k] * numbers({channels}, 6 + k));
  d.second = grad(product, inputs);
  return d;
}

double distance(const Tensor& a, const Tensor& b) {
  const NoGrad no_grad;
  return norm(a.detach() - b.detach()).item() / (1 + norm(b.detach()).item());
}

Tensor over_ranks(const Tensor& part) {
  Tensor total = part.detach().clone();
  collective().sum(std::span(total.data<double>(), static_cast<std::size_t>(total.elements())));
  return total;
}

}  // namespace

TEST_CASE("statistics over ranks: outputs, gradients and their gradients are those of the whole batch",
          "[parallel]") {
  const std::int64_t size = collective().size(), begin = rows * collective().rank() / size,
                     end = rows * (collective().rank() + 1) / size;
  for (const bool with_residual : {false, true}) {
    CAPTURE(with_residual);
    const Derivatives own = derivatives(begin, end, with_residual, &collective()),
                      whole = derivatives(0, rows, with_residual, nullptr);
    CHECK(distance(own.y, whole.y.rows(begin, end - begin)) < 1e-12);
    CHECK(distance(own.running_mean, whole.running_mean) < 1e-12);
    CHECK(distance(own.running_var, whole.running_var) < 1e-12);
    for (const auto& [ours, theirs] :
         {std::pair(own.first, whole.first), std::pair(own.second, whole.second)}) {
      CHECK(distance(ours[0], theirs[0].rows(begin, end - begin)) < 1e-12);
      for (std::size_t k = 1; k < 3; ++k) CHECK(distance(over_ranks(ours[k]), theirs[k]) < 1e-12);
    }
  }
}

TEST_CASE("statistics over ranks: of one value on each", "[parallel]") {
  const Tensor x = numbers({1, channels}, static_cast<std::uint64_t>(collective().rank()));
  const BatchNormParams params{
      Tensor::full({channels}, 1, {DType::f64}), Tensor::zeros({channels}, {DType::f64}),
      Tensor::zeros({channels}, {DType::f64}), Tensor::full({channels}, 1, {DType::f64})};
  const auto normalised = [&] {
    return batch_norm(x, params,
                      {.sum_over_ranks = [](std::span<double> values) { collective().sum(values); }});
  };
  if (collective().size() == 1) {
    CHECK_THROWS_WITH(normalised(), Catch::Contains("a variance needs at least 2"));
  } else {
    CHECK(over_ranks(normalised()).to_vector<double>()[0] == Approx(0).margin(1e-12));  // the mean
  }
}

}  // namespace lamina
