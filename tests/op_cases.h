// The table of op cases: each row says how to call an op, what a naive f64 reference makes of the same
// inputs, and where derivatives do not exist. core_ops.cpp drives every row through value, gradient, second
// derivative, poisoned memory, NaN, thread and device checks. A new elementwise function is one line in
// unary_functions() below.
#pragma once

#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"
#include "core/ops/ops.h"
#include "naive.h"

namespace lamina::tests {

using naive::Array;
using naive::Extents;
using Tensors = std::vector<Tensor>;
using Arrays = std::vector<Array>;

struct Input {
  Extents shape;
  double low = -1.5, high = 1.5;  // filled uniformly
  bool differentiable = true;
  int classes = 0;  // > 0: i32 labels below this instead
};

struct OpCase {
  std::string op;  // the name it records under, or the public function's
  std::string parameters = {};
  std::vector<Input> inputs = {};
  std::function<Tensor(const Tensors&)> apply = nullptr;
  std::function<Array(const Arrays&)> reference = nullptr;
  // How far the inputs are from a point without a derivative; inputs are drawn until it is far enough.
  std::function<double(const Arrays&)> kink_distance = nullptr;
  bool second_derivative = true;
  bool large = false;  // too many elements for finite differences: gradients are only compared bit for bit

  bool differentiable() const {
    for (const Input& input : inputs)
      if (input.differentiable) return true;
    return false;
  }
  std::string name() const {
    std::string text = op + (parameters.empty() ? "" : " " + parameters);
    for (const Input& input : inputs) text += " " + Shape(input.shape.begin(), input.shape.end()).str();
    return text;
  }
};

inline Input values(Extents shape, double low = -1.5, double high = 1.5) {
  return {std::move(shape), low, high};
}
inline Input constant(Extents shape, double low = -1.5, double high = 1.5) {
  return {.shape = std::move(shape), .low = low, .high = high, .differentiable = false};
}
inline Input labels(std::int64_t samples, int classes) {
  return {.shape = {samples}, .differentiable = false, .classes = classes};
}
inline Shape to_shape(const Extents& extents) { return {extents.begin(), extents.end()}; }

// d(sum of grad * f(x))/dx as an op of x and grad: how gradient kernels get rows of their own. `last`: the
// result has no derivative.
template <typename F>
Tensor gradient_of(const F& f, const Tensor& x, const Tensor& grad_output, bool last = false) {
  const GradMode record_this(/*enabled=*/true);
  const Tensor leaf = x.requires_grad() ? x : x.detach().requires_grad_();
  const Tensor y = f(leaf);
  return grad(y, std::span(&leaf, 1), grad_output, {.create_graph = !last}).front();
}

using Rows = std::vector<OpCase>;

inline double nearest_to(const std::vector<double>& kinks, const Array& x) {
  double distance = 1e9;
  for (const double value : x.values)
    for (const double kink : kinks) distance = std::min(distance, std::abs(value - kink));
  return distance;
}
inline double nearest_to_zero(const Array& x) { return nearest_to({0}, x); }

struct UnaryFunction {
  std::string op;
  std::function<Tensor(const Tensor&)> apply;
  double (*value)(double);
  double (*derivative)(double);
  double (*second_derivative)(double);
  double low = -1.5, high = 1.5;
  std::vector<double> kinks = {};  // where it has no derivative
};

inline double logistic(double x) { return 1 / (1 + std::exp(-x)); }
inline double logistic_derivative(double x) { return logistic(x) * logistic(-x); }
inline double normal_cdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }
inline double normal_pdf(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

// One entry per elementwise function: op, how to call it, value, first and second derivative, range of
// inputs.
inline std::vector<UnaryFunction> unary_functions() {
  using D = double;
  const auto zero = [](D) { return 0.0; };
  return {
      {"relu", relu, naive::relu, [](D x) { return x > 0 ? 1.0 : 0.0; }, zero, -1.5, 1.5, {0}},
      {"sigmoid", sigmoid, logistic, logistic_derivative,
       [](D x) { return logistic_derivative(x) * (1 - 2 * logistic(x)); }, -4, 4},
      {"tanh", tanh, [](D x) { return std::tanh(x); }, [](D x) { return 1 / std::pow(std::cosh(x), 2); },
       [](D x) { return -2 * std::tanh(x) / std::pow(std::cosh(x), 2); }},
      {"silu", silu, [](D x) { return x * logistic(x); },
       [](D x) { return logistic(x) + x * logistic_derivative(x); },
       [](D x) { return logistic_derivative(x) * (2 + x * (1 - 2 * logistic(x))); }, -4, 4},
      {"gelu", gelu, [](D x) { return x * normal_cdf(x); },
       [](D x) { return normal_cdf(x) + x * normal_pdf(x); }, [](D x) { return (2 - x * x) * normal_pdf(x); },
       -3, 3},
      {"exp", exp, [](D x) { return std::exp(x); }, [](D x) { return std::exp(x); },
       [](D x) { return std::exp(x); }},
      {"log", log, [](D x) { return std::log(x); }, [](D x) { return 1 / x; },
       [](D x) { return -1 / (x * x); }, 0.5, 2.5},
      {"sqrt", sqrt, [](D x) { return std::sqrt(x); }, [](D x) { return 0.5 / std::sqrt(x); },
       [](D x) { return -0.25 / (x * std::sqrt(x)); }, 0.5, 2.5},
      {"square", square, [](D x) { return x * x; }, [](D x) { return 2 * x; }, [](D) { return 2.0; }},
      {"reciprocal", reciprocal, [](D x) { return 1 / x; }, [](D x) { return -1 / (x * x); },
       [](D x) { return 2 / (x * x * x); }, 0.5, 2.5},
      {"abs",
       abs,
       [](D x) { return std::abs(x); },
       [](D x) { return x > 0 ? 1.0 : (x < 0 ? -1.0 : 0 * x); },
       zero,
       -1.5,
       1.5,
       {0}},
      {"sign", sign, [](D x) { return x > 0 ? 1.0 : (x < 0 ? -1.0 : 0 * x); }, zero, zero, -1.5, 1.5, {0}},
      {"sin", sin, [](D x) { return std::sin(x); }, [](D x) { return std::cos(x); },
       [](D x) { return -std::sin(x); }, -4, 4},
      {"cos", cos, [](D x) { return std::cos(x); }, [](D x) { return -std::sin(x); },
       [](D x) { return -std::cos(x); }, -4, 4},
      {"pow", [](const Tensor& x) { return pow(x, 3); }, [](D x) { return x * x * x; },
       [](D x) { return 3 * x * x; }, [](D x) { return 6 * x; }},
      {"pow", [](const Tensor& x) { return pow(x, -0.5); }, [](D x) { return 1 / std::sqrt(x); },
       [](D x) { return -0.5 / (x * std::sqrt(x)); }, [](D x) { return 0.75 / (x * x * std::sqrt(x)); }, 0.5,
       2.5},
      {"clamp",
       [](const Tensor& x) { return clamp(x, -0.5, 0.75); },
       [](D x) { return x < -0.5 ? -0.5 : (x > 0.75 ? 0.75 : x); },
       [](D x) { return x < -0.5 || x > 0.75 ? 0.0 : 1.0; },
       zero,
       -1.5,
       1.5,
       {-0.5, 0.75}},
      {"affine", [](const Tensor& x) { return affine(x, -2.5, 0.75); }, [](D x) { return -2.5 * x + 0.75; },
       [](D) { return -2.5; }, zero},
  };
}

// A function, its gradient kernel and the gradient kernel of that.
inline void add_unary_rows(Rows& rows, const UnaryFunction& f, const Extents& shape) {
  const auto times = [](const Array& a, const Array& b) { return naive::combine(a, b, std::multiplies<>()); };
  const auto first = [f](const Tensor& x, const Tensor& grad) { return gradient_of(f.apply, x, grad); };
  OpCase row{.op = f.op, .inputs = {values(shape, f.low, f.high)}};
  row.apply = [f](const Tensors& in) { return f.apply(in[0]); };
  row.reference = [f](const Arrays& in) { return naive::map(in[0], f.value); };
  row.large = naive::count(shape) > 1000;
  if (!f.kinks.empty()) row.kink_distance = [f](const Arrays& in) { return nearest_to(f.kinks, in[0]); };
  rows.push_back(row);
  if (f.op == "affine") return;  // its gradient is one itself

  row.op = "unary_grad";
  row.parameters = "of " + f.op;
  row.inputs.push_back(values(shape));
  row.apply = [=](const Tensors& in) { return first(in[0], in[1]); };
  row.reference = [=](const Arrays& in) { return times(naive::map(in[0], f.derivative), in[1]); };
  row.second_derivative = false;  // a third derivative of the function
  rows.push_back(row);

  row.op = "unary_grad_grad";
  row.inputs = {constant(shape, f.low, f.high), constant(shape), constant(shape)};
  row.apply = [=](const Tensors& in) {
    return gradient_of([&](const Tensor& x) { return first(x, in[1]); }, in[0], in[2], /*last=*/true);
  };
  row.reference = [=](const Arrays& in) {
    return times(naive::map(in[0], f.second_derivative), times(in[1], in[2]));
  };
  rows.push_back(row);
}

inline void add_binary_rows(Rows& rows) {
  struct Function {
    const char* op;
    Tensor (*apply)(const Tensor&, const Tensor&);
    double (*value)(double, double);
    double low, high;       // of the second operand
    bool has_kink = false;  // where the operands are equal
    bool compares = false;  // and so is constant
  };
  const auto maximum_of = [](double a, double b) { return a > b || std::isnan(a) ? a : b; };
  const auto minimum_of = [](double a, double b) { return a < b || std::isnan(a) ? a : b; };
  const std::vector<Function> functions{
      {"add", add, [](double a, double b) { return a + b; }, -1.5, 1.5},
      {"sub", sub, [](double a, double b) { return a - b; }, -1.5, 1.5},
      {"mul", mul, [](double a, double b) { return a * b; }, -1.5, 1.5},
      {"div", div, [](double a, double b) { return a / b; }, 0.5, 2.5},
      {"maximum", maximum, maximum_of, -1.5, 1.5, true},
      {"minimum", minimum, minimum_of, -1.5, 1.5, true},
      {"greater", greater, [](double a, double b) { return a > b ? 1.0 : 0.0; }, -1.5, 1.5, true, true},
      {"greater_equal", greater_equal, [](double a, double b) { return a >= b ? 1.0 : 0.0; }, -1.5, 1.5, true,
       true},
      {"less", less, [](double a, double b) { return a < b ? 1.0 : 0.0; }, -1.5, 1.5, true, true},
      {"less_equal", less_equal, [](double a, double b) { return a <= b ? 1.0 : 0.0; }, -1.5, 1.5, true,
       true},
      {"equal", equal, [](double a, double b) { return a == b ? 1.0 : 0.0; }, -1.5, 1.5, true, true},
      {"not_equal", not_equal, [](double a, double b) { return a != b ? 1.0 : 0.0; }, -1.5, 1.5, true, true},
  };
  const std::vector<std::pair<Extents, Extents>> shapes{
      {{2, 3, 4}, {2, 3, 4}},
      {{2, 3, 4}, {4}},
      {{4}, {2, 3, 4}},
      {{2, 1, 4}, {3, 1}},
      {{}, {2, 3}},
      {{1}, {1, 5}},
      {{}, {}},
      {{2, 3, 1}, {2, 3, 4}},
      {{2, 3, 4}, {1, 3, 1}},
      {{2, 1, 2, 1, 3, 1}, {1, 2, 1, 2, 1, 2}},
      {{61, 33, 17}, {17}},
      {{61, 33, 17}, {61, 33, 17}},
      {{61, 33, 17}, {61, 1, 1}},
  };
  for (const Function& f : functions)
    for (const auto& [a, b] : shapes) {
      OpCase row{.op = f.op, .inputs = {values(a), values(b, f.low, f.high)}};
      for (Input& input : row.inputs) input.differentiable = !f.compares;
      row.apply = [f](const Tensors& in) { return f.apply(in[0], in[1]); };
      row.reference = [f](const Arrays& in) { return naive::combine(in[0], in[1], f.value); };
      row.large = naive::count(naive::broadcast_shape(a, b)) > 1000;
      if (f.has_kink && !row.large) {
        row.kink_distance = [](const Arrays& in) {
          return nearest_to_zero(naive::combine(in[0], in[1], std::minus<>()));
        };
      }
      rows.push_back(row);
    }
}

void add_product_rows(Rows& rows);      // core_op_cases_products.cpp: matmul, linear, convolutions
void add_network_rows(Rows& rows);      // core_op_cases_network.cpp: batch_norm, pooling, losses
void add_reduction_rows(Rows& rows);    // core_op_cases_shapes.cpp
void add_rearranging_rows(Rows& rows);  // core_op_cases_shapes.cpp
void add_axis_rows(Rows& rows);         // core_op_cases_axes.cpp: reductions over axes, permutations
void add_index_rows(Rows& rows);        // core_op_cases_axes.cpp: choosing and looking up

inline Rows op_cases() {
  Rows rows;
  for (const UnaryFunction& f : unary_functions())
    for (const Extents& shape : {Extents{}, {1, 1}, {2, 3, 5}, {20011}}) add_unary_rows(rows, f, shape);
  add_binary_rows(rows);
  add_product_rows(rows);
  add_network_rows(rows);
  add_reduction_rows(rows);
  add_rearranging_rows(rows);
  add_axis_rows(rows);
  add_index_rows(rows);
  return rows;
}

}  // namespace lamina::tests
