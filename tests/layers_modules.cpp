// The layers beside convolutions: values against plain loops, gradients, names, files.
#include <cmath>
#include <numbers>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "gradient_check.h"
#include "layers/init.h"
#include "layers/layers.h"
#include "layers/summary.h"
#include "layers/weights.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

constexpr TensorOptions f64{.dtype = DType::f64};

// Multiples of 2^-20, none near 0, where ReLU has its kink.
Tensor numbers(const Shape& shape, std::uint32_t stream) {
  std::vector<double> values;
  const Random random{.seed = stream};
  for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(shape.elements()); ++i) {
    const double value = std::round(random.normal(i) * 0x1p20) * 0x1p-20;
    values.push_back(value + std::copysign(0.125, value));
  }
  return Tensor::from(values, shape);
}

void set_parameters(const Module& module) {
  std::uint32_t stream = 100;
  for (const auto& param : module.parameters())
    param->value.copy_from(numbers(param->value.shape(), stream++));
}

// "none" if the gradients of the input and of every parameter are those of finite differences.
std::string gradient_errors(Module& module, const Shape& shape) {
  set_parameters(module);
  Tensor x = numbers(shape, 1);
  x.requires_grad_();
  const Tensor weights = numbers(module(x).shape(), 2);
  const auto loss = [&] { return sum(module(x) * weights); };
  const auto value = [&] {
    const NoGrad no_grad;
    return loss().item();
  };
  for (const auto& param : module.parameters()) param->value.zero_grad();
  loss().backward();
  std::vector<std::pair<std::string, Tensor>> leaves{{"x", x}};
  for (const auto& param : module.parameters()) leaves.emplace_back(param->name, param->value);
  for (const auto& [name, leaf] : leaves) {
    const std::string mismatch =
        gradient_mismatch(leaf.grad().to_vector<double>(), numeric_gradient(value, leaf));
    if (mismatch != "none") return name + ": " + mismatch;
  }
  return "none";
}

std::vector<std::string> state_names(const Module& module) {
  std::vector<std::string> names;
  for (const auto& param : module.state()) names.push_back(param->name);
  return names;
}

// f64 sums of up to 12 terms in another order: a relative error of some 1e-15.
void check_close(const Tensor& y, const std::vector<double>& expected) {
  const auto values = y.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::abs(values[i] - expected[i]) <= 1e-13 * (1 + std::abs(expected[i])));
}

// (x - mean) / sqrt(variance + eps) over the elements first, first + step, …
void standardise(std::vector<double>& x, std::size_t first, std::size_t step, std::size_t count, double eps) {
  double mean = 0, variance = 0;
  for (std::size_t i = 0; i < count; ++i) mean += x[first + i * step] / static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i)
    variance += std::pow(x[first + i * step] - mean, 2) / static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i)
    x[first + i * step] = (x[first + i * step] - mean) / std::sqrt(variance + eps);
}

Sequential perceptron() {
  Sequential net;
  net.add<Flatten>();
  net.add<Linear>(12, 5, LinearLayerOptions{.tensor = f64});
  net.add<BatchNorm1d>(5, BatchNorm1dLayerOptions{.affine = false, .tensor = f64});
  net.add<GELU>();
  net.add<LayerNorm>(5, LayerNormLayerOptions{.tensor = f64});
  net.add<Linear>(5, 2, LinearLayerOptions{.tensor = f64});
  return net;
}

}  // namespace

TEST_CASE("layers of activations compute their formula") {
  const Tensor x = numbers({3, 4}, 1);
  const auto expected = [&](const std::function<double(double)>& f) {
    std::vector<double> values = x.to_vector<double>();
    for (double& value : values) value = f(value);
    return values;
  };
  const auto logistic = [](double v) { return 1 / (1 + std::exp(-v)); };
  check_close(ReLU()(x), expected([](double v) { return std::max(v, 0.0); }));
  check_close(GELU()(x), expected([](double v) { return v * (1 + std::erf(v / std::numbers::sqrt2)) / 2; }));
  check_close(SiLU()(x), expected([&](double v) { return v * logistic(v); }));
  check_close(Sigmoid()(x), expected(logistic));
  check_close(Tanh()(x), expected([](double v) { return std::tanh(v); }));
}

TEST_CASE("BatchNorm1d normalises each channel of vectors and sequences") {
  for (const Shape& shape : {Shape{6, 3}, Shape{2, 3, 3}}) {
    BatchNorm1d norm(3, {.eps = 1e-3, .tensor = f64});
    const Tensor x = numbers(shape, 1);
    std::vector<double> expected = x.to_vector<double>();
    for (std::size_t c = 0; c < 3; ++c) standardise(expected, c, 3, 6, 1e-3);
    check_close(norm(x), expected);
    set_parameters(norm);
    const auto weight = norm.parameter("weight").value.to_vector<double>(),
               bias = norm.parameter("bias").value.to_vector<double>();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] * weight[i % 3] + bias[i % 3];
    check_close(norm(x), expected);
    CHECK(norm.parameter("num_batches_tracked").value.item() == 2);
  }
  BatchNorm1d norm(3);
  CHECK(unexplained([&] { norm(Tensor::zeros({1, 3})); }, {"at least 2 values"}) == "nothing");
  CHECK(unexplained([&] { norm(Tensor::zeros({2, 4, 4, 3})); }, {"BatchNorm1d", "[N, L, C]"}) == "nothing");
}

TEST_CASE("without affine a batch norm has statistics alone") {
  BatchNorm2d plain(3, {.affine = false, .tensor = f64}), usual(3, {.tensor = f64});
  CHECK(plain.parameters().empty());
  CHECK(state_names(plain) == std::vector<std::string>{"running_mean", "running_var", "num_batches_tracked"});
  const Tensor x = numbers({2, 4, 4, 3}, 1);
  CHECK(plain(x).to_vector<double>() == usual(x).to_vector<double>());
  plain.eval();
  usual.eval();
  CHECK(plain(x).to_vector<double>() == usual(x).to_vector<double>());
  CHECK(unexplained([&] { plain.zero_weight(); }, {"BatchNorm2d", "affine"}) == "nothing");
}

TEST_CASE("LayerNorm normalises each sample over its last axis") {
  LayerNorm norm(4, {.eps = 1e-3, .tensor = f64}), plain(4, {.eps = 1e-3, .affine = false, .tensor = f64});
  CHECK(state_names(norm) == std::vector<std::string>{"weight", "bias"});
  for (const auto& param : norm.parameters()) CHECK(param->kind == ParamKind::norm);
  CHECK(plain.state().empty());
  const Tensor x = numbers({2, 3, 4}, 1);
  std::vector<double> expected = x.to_vector<double>();
  for (std::size_t row = 0; row < 6; ++row) standardise(expected, row * 4, 1, 4, 1e-3);
  check_close(plain(x), expected);
  set_parameters(norm);
  const auto weight = norm.parameter("weight").value.to_vector<double>(),
             bias = norm.parameter("bias").value.to_vector<double>();
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] * weight[i % 4] + bias[i % 4];
  check_close(norm(x), expected);
  CHECK(unexplained([&] { norm(numbers({2, 3}, 1)); }, {"LayerNorm", "[2, 3]", "4"}) == "nothing");
}

TEST_CASE("Linear works on the last axis of any tensor") {
  Linear layer(4, 2, {.tensor = f64});
  set_parameters(layer);
  const Tensor x = numbers({2, 3, 4}, 1);
  const Tensor y = layer(x);
  CHECK(y.shape() == Shape{2, 3, 2});
  CHECK(y.to_vector<double>() == layer(x.view({6, 4})).to_vector<double>());
  CHECK(layer.multiply_adds({2, 3, 4}, {2, 3, 2}) == 2 * 3 * 4 * 2);
  CHECK(unexplained([&] { layer(numbers({2, 5}, 1)); }, {"linear", "[2, 5]", "[2, 4]"}) == "nothing");
}

TEST_CASE("Conv2d has groups and dilation") {
  Conv2d conv(4, 6, 3, {.stride = 2, .padding = 2, .groups = 2, .dilation = 2, .tensor = f64});
  CHECK(conv.parameter("weight").value.shape() == Shape{6, 3, 3, 2});
  CHECK(conv.kind() == "Conv2d 4 -> 6, 3x3 / 2, 2 groups, dilation 2");
  set_parameters(conv);
  const Tensor x = numbers({2, 6, 7, 4}, 1), weight = conv.parameter("weight").value;
  const Tensor y = conv(x);
  REQUIRE(y.shape() == Shape{2, 3, 4, 6});
  const auto pixels = x.to_vector<double>(), taps = weight.to_vector<double>();
  std::vector<double> expected;
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 4; ++j)
        for (int out = 0; out < 6; ++out) {
          double total = 0;
          for (int tap = 0; tap < 9; ++tap) {
            const int row = 2 * i - 2 + 2 * (tap / 3), column = 2 * j - 2 + 2 * (tap % 3);
            if (row < 0 || row >= 6 || column < 0 || column >= 7) continue;
            for (int c = 0; c < 2; ++c)
              total += pixels[static_cast<std::size_t>(((n * 6 + row) * 7 + column) * 4 + out / 3 * 2 + c)] *
                       taps[static_cast<std::size_t>((out * 9 + tap) * 2 + c)];
          }
          expected.push_back(total);
        }
  check_close(y, expected);
  CHECK(conv.multiply_adds(x.shape(), y.shape()) == 2 * 3 * 4 * 6 * 9 * 2);
  CHECK(gradient_errors(conv, {1, 5, 4, 4}) == "none");
  CHECK(unexplained([] { Conv2d(4, 6, 3, {.groups = 4}); }, {"4 -> 6", "4 groups"}) == "nothing");
}

TEST_CASE("AvgPool2d takes the mean of each window") {
  AvgPool2d pool({.size = 2, .stride = 2});
  CHECK(pool.kind() == "AvgPool2d 2x2 / 2");
  const Tensor x = Tensor::from<double>({1, 2, 3, 4, 5, 6, 7, 9}, {1, 2, 4, 1});
  check_close(pool(x), {(1 + 2 + 5 + 6) / 4.0, (3 + 4 + 7 + 9) / 4.0});
  CHECK(gradient_errors(pool, {1, 4, 4, 2}) == "none");
}

TEST_CASE("gradients of layers are those of finite differences") {
  ReLU activation;
  CHECK(gradient_errors(activation, {2, 3}) == "none");
  BatchNorm1d norm(3, {.tensor = f64}), plain(3, {.affine = false, .tensor = f64});
  CHECK(gradient_errors(norm, {2, 4, 3}) == "none");
  CHECK(gradient_errors(plain, {5, 3}) == "none");
  norm.eval();
  CHECK(gradient_errors(norm, {5, 3}) == "none");
  LayerNorm layer_norm(4, {.tensor = f64});
  CHECK(gradient_errors(layer_norm, {2, 3, 4}) == "none");
  Linear linear(4, 2, {.tensor = f64});
  CHECK(gradient_errors(linear, {2, 3, 4}) == "none");
  Sequential net = perceptron();
  CHECK(gradient_errors(net, {4, 2, 2, 3}) == "none");
}

TEST_CASE("Flatten joins axes") {
  const Tensor x = numbers({2, 3, 2, 2}, 1);
  CHECK(Flatten()(x).shape() == Shape{2, 12});
  CHECK(Flatten(2)(x).shape() == Shape{2, 3, 4});
  CHECK(Flatten(0)(x).to_vector<double>() == x.to_vector<double>());
  CHECK(unexplained([&] { Flatten(4)(x); }, {"flatten", "axis 4"}) == "nothing");
  CHECK(unexplained([] { Flatten(-1); }, {"Flatten", "-1"}) == "nothing");
}

TEST_CASE("a net of layers is saved, loaded and summed up") {
  Sequential net = perceptron(), other = perceptron();
  CHECK(state_names(net) == std::vector<std::string>{"1.weight", "1.bias", "2.running_mean", "2.running_var",
                                                     "2.num_batches_tracked", "4.weight", "4.bias",
                                                     "5.weight", "5.bias"});
  initialise(net, {}, 1);
  const Tensor x = numbers({4, 2, 2, 3}, 1);
  net(x);  // moves the statistics
  load_weights(to_tensor_file(net.state(), {}), other.state());
  net.eval();
  other.eval();
  CHECK(other(x).to_vector<double>() == net(x).to_vector<double>());
  const ModelSummary table = summary(net, {1, 2, 2, 3});
  CHECK(table.parameters == 12 * 5 + 5 + 5 + 5 + 5 * 2 + 2);
  CHECK(table.multiply_adds == 12 * 5 + 5 * 2);
  for (const char* kind : {"Flatten", "BatchNorm1d 5", "GELU", "LayerNorm 5"})
    CHECK(table.str().find(kind) != std::string::npos);

  Sequential images;
  images.add<Conv2d>(3, 8, 3);
  images.add<BatchNorm2d>(8);
  images.add<ReLU>();
  initialise(images);
  CHECK(std::isfinite(sum(images(Tensor::full({2, 8, 8, 3}, 0.5))).item()));
}

}  // namespace lamina::tests
