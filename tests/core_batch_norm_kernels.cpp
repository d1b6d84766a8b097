// The CPU's batch normalisation, called through the Backend: what the table of op cases does not look at.
#include <cmath>
#include <vector>

#include "core/ops/ops.h"
#include "cpu_kernels.h"

namespace lamina::tests {
namespace {

struct BatchNormResult {
  Tensor y, mean, inv_std;
  BatchNormParams params;
};

BatchNormResult normalised(const Tensor& x, const Tensor& residual, const BatchNormOptions& options) {
  const Shape channels{x.shape().back()};
  BatchNormResult r{.y = poisoned(x.shape(), x.dtype()),
                    .mean = poisoned(channels, x.dtype()),
                    .inv_std = poisoned(channels, x.dtype()),
                    .params = {random(channels, 101, x.dtype()), random(channels, 102, x.dtype()),
                               Tensor::zeros(channels, {x.dtype()}), Tensor::full(channels, 1, {x.dtype()})}};
  cpu_backend().batch_norm(x, r.params, residual, options, r.y, r.mean, r.inv_std);
  return r;
}

}  // namespace

TEST_CASE("batch norm gives the same bits for any number of threads") {
  for (const Shape& shape : {Shape{9000, 16}, Shape{517, 200}, Shape{2, 40'000}, Shape{30'000, 3}}) {
    CAPTURE(shape.str());
    const Tensor x = random(shape, 1), residual = random(shape, 2), grad = random(shape, 3);
    const BatchNormOptions options{.relu = true};
    check_any_threads([&] {
      const BatchNormResult r = normalised(x, residual, options);
      const Shape channels{shape.back()};
      Tensor grad_x = poisoned(shape), grad_weight = poisoned(channels), grad_bias = poisoned(channels),
             grad_residual = poisoned(shape), plain = poisoned(shape), none;
      cpu_backend().batch_norm_grad(grad, x, r.y, r.params, r.mean, r.inv_std, options, grad_x, grad_weight,
                                    grad_bias, grad_residual);
      cpu_backend().batch_norm_grad(grad, x, r.y, r.params, r.mean, r.inv_std, options, plain, grad_weight,
                                    grad_bias, none);
      CHECK(same_bytes(plain, grad_x));  // whether or not the residual's gradient is wanted
      return std::vector<Tensor>{r.y,    r.mean,      r.inv_std, r.params.running_mean, r.params.running_var,
                                 grad_x, grad_weight, grad_bias, grad_residual};
    });
  }
}

TEST_CASE("batch norm's gradient finds the ReLU's mask from x as from y") {
  const Shape shape{1003, 24}, channels{24};
  const Tensor x = random(shape, 1), grad = random(shape, 3);
  const BatchNormOptions options{.relu = true};
  const BatchNormResult r = normalised(x, {}, options);
  const auto gradients = [&](const Tensor& y) {
    std::vector<Tensor> out{poisoned(shape), poisoned(channels), poisoned(channels), poisoned(shape)};
    cpu_backend().batch_norm_grad(grad, x, y, r.params, r.mean, r.inv_std, options, out[0], out[1], out[2],
                                  out[3]);
    return out;
  };
  const std::vector<Tensor> from_y = gradients(r.y), from_x = gradients({});
  for (std::size_t i = 0; i < from_y.size(); ++i) CHECK(same_bytes(from_y[i], from_x[i]));
}

TEST_CASE("batch norm's third derivative is that of differences of the second") {
  const Shape shape{6, 2, 2, 3}, channels{3};
  const auto draw = [](const Shape& of, std::uint32_t number) { return random(of, number, DType::f64); };
  for (const bool training : {true, false}) {
    for (const bool relu : {false, true}) {
      for (const bool with_residual : {false, true}) {
        CAPTURE(training, relu, with_residual);
        // A second derivative along fixed vectors, as a function of x and the weight.
        const auto second = [&](const Tensor& x, const Tensor& weight) {
          const BatchNormParams params{weight, draw(channels, 3), draw(channels, 4),
                                       square(draw(channels, 5)) + 1};
          const Tensor y = batch_norm(x, params, {.training = training, .relu = relu},
                                      with_residual ? draw(shape, 6) : Tensor());
          Tensor along = sum(y * y * draw(shape, 7));
          for (const std::uint32_t order : {1U, 2U}) {
            const std::vector<Tensor> g = grad(along, {x, weight}, {}, {.create_graph = true});
            along = sum(g[0] * draw(shape, 8 * order)) + sum(g[1] * draw(channels, 9 * order));
          }
          return along;
        };
        const Tensor x = draw(shape, 1), weight = draw(channels, 2);
        const Tensor x_step = draw(shape, 20), weight_step = draw(channels, 21);
        const auto moved = [&](double by) {
          return second((x + by * x_step).requires_grad_(), (weight + by * weight_step).requires_grad_())
              .item();
        };
        const Tensor at_x = x.clone().requires_grad_(), at_weight = weight.clone().requires_grad_();
        const std::vector<Tensor> third = grad(second(at_x, at_weight), {at_x, at_weight});
        const double slope = (sum(third[0] * x_step) + sum(third[1] * weight_step)).item();
        // Central differences are off by the square of the step.
        const double step = 1e-4;
        CHECK(std::abs(slope) > 0.01);
        CHECK(std::abs((moved(step) - moved(-step)) / (2 * step) - slope) < 1e-6 * std::abs(slope));
      }
    }
  }
}

TEST_CASE("batch norm keeps a NaN in its channel and never hides it") {
  Tensor x = random({100, 4}, 1);
  x.data<float>()[50 * 4 + 2] = static_cast<float>(not_a_number);
  const BatchNormResult r = normalised(x, {}, {.relu = true});
  Tensor grad_x = poisoned(x.shape()), grad_weight = poisoned({4}), grad_bias = poisoned({4}),
         grad_residual = poisoned(x.shape());
  cpu_backend().batch_norm_grad(x, x, r.y, r.params, r.mean, r.inv_std, {.relu = true}, grad_x, grad_weight,
                                grad_bias, grad_residual);
  for (const Tensor& t :
       {r.mean, r.inv_std, r.params.running_mean, r.params.running_var, grad_weight, grad_bias}) {
    for (std::size_t c = 0; c < 4; ++c) CHECK(std::isnan(t.data<float>()[c]) == (c == 2));
  }
  for (std::size_t i = 0; i < 400; ++i) {
    const bool poisoned_channel = i % 4 == 2;
    for (const Tensor& t : {r.y, grad_x, grad_residual}) {
      CHECK(std::isnan(t.data<float>()[i]) == poisoned_channel);
    }
  }
}

TEST_CASE("the variance survives a mean far larger than the deviation") {
  // 10,000 + the values -1, 0, 1, 2 in turn: exact in f32; mean 0.5 and variance 1.25 by hand.
  Tensor x = poisoned({40'000, 5});
  for (std::int64_t i = 0; i < x.elements(); ++i) x.data<float>()[i] = static_cast<float>(9999 + i / 5 % 4);
  SECTION("all rows alike") {}
  SECTION("the first row far away") {  // moves the mean by 0.25, the variance by 2500: see below
    for (std::int64_t c = 0; c < 5; ++c) x.data<float>()[c] = 0;
  }
  const bool odd_row = x.data<float>()[0] == 0;
  double mean = 0, variance = 0;
  for (std::int64_t r = 0; r < 40'000; ++r) mean += static_cast<double>(x.data<float>()[5 * r]) / 40'000;
  for (std::int64_t r = 0; r < 40'000; ++r) {
    variance += std::pow(static_cast<double>(x.data<float>()[5 * r]) - mean, 2) / 40'000;
  }
  CHECK(std::abs(variance - (odd_row ? 2500 : 1.25)) < (odd_row ? 5 : 1e-6));

  const BatchNormResult r = normalised(x, {}, {.momentum = 1, .eps = 0});
  for (std::size_t c = 0; c < 5; ++c) {
    // f32 holds 10,000 to 5e-4, and eight squares are summed in f32: 1e-6 relative.
    CHECK(std::abs(r.mean.data<float>()[c] - mean) < 6e-4);
    CHECK(std::abs(r.inv_std.data<float>()[c] * std::sqrt(variance) - 1) < 1e-6);
    CHECK(std::abs(r.params.running_var.data<float>()[c] / (variance * 40'000 / 39'999) - 1) < 2e-6);
  }
}

}  // namespace lamina::tests
