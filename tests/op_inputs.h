// Inputs for the rows of the op table, and their results in a form that can be compared.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/ops/ops.h"
#include "op_cases.h"

namespace lamina::tests {

// A small generator of the tests' own (splitmix64 by Steele, Lea & Flood, OOPSLA 2014).
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // A multiple of 2^-20 that f32 holds exactly, so that every dtype and the reference see the same numbers.
  double uniform(double low, double high) {
    const double value = low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53;
    return static_cast<double>(static_cast<float>(std::round(value * 0x1p20) * 0x1p-20));
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }

 private:
  std::uint64_t state_;
};

inline Array draw_array(const Input& input, Draw& draw) {
  Array array(input.shape);
  for (double& value : array.values)
    value = input.classes > 0 ? draw.below(input.classes) : draw.uniform(input.low, input.high);
  return array;
}

// Inputs away from the row's kinks; the first seed that gives such.
inline Arrays draw_inputs(const OpCase& row, double margin) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    Draw draw(seed);
    Arrays arrays;
    for (const Input& input : row.inputs) arrays.push_back(draw_array(input, draw));
    if (!row.kink_distance || row.kink_distance(arrays) > margin) return arrays;
  }
  fail("{}: no inputs away from the kinks in 2000 draws; make the row smaller", row.name());
}

template <typename T>
Tensor tensor_of(const Array& array) {
  return Tensor::from(std::vector<T>(array.values.begin(), array.values.end()), to_shape(array.shape));
}

inline Tensors tensors_of(const OpCase& row, const Arrays& arrays, DType dtype, Device device = {}) {
  Tensors tensors;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const bool is_labels = row.inputs[i].classes > 0;
    const Tensor host = is_labels             ? tensor_of<std::int32_t>(arrays[i])
                        : dtype == DType::f32 ? tensor_of<float>(arrays[i])
                                              : tensor_of<double>(arrays[i]);
    tensors.push_back(host.to(device));
  }
  return tensors;
}

inline Array array_of(const Tensor& tensor) {
  Array array(Extents(tensor.shape().begin(), tensor.shape().end()));
  const Tensor f64 = cast(tensor.detach().to(Device::cpu()), DType::f64);
  array.values = f64.to_vector<double>();
  return array;
}

inline Tensor project(const Tensor& y, const Tensor& weights) {
  return sum(mul(cast(y, weights.dtype()), weights));
}

// A fixed projection of an output: weights in [0.5, 1.5], none of them negligible.
inline Tensor projection(const Tensor& y, DType dtype, std::uint64_t seed) {
  Draw draw(seed);
  const Array weights = draw_array(values(Extents(y.shape().begin(), y.shape().end()), 0.5, 1.5), draw);
  return (dtype == DType::f32 ? tensor_of<float>(weights) : tensor_of<double>(weights)).to(y.device());
}

// One evaluation of a row: its inputs, with those that can be differentiated as leaves.
struct Evaluation {
  Tensors inputs;
  Tensors leaves;

  Evaluation(const OpCase& row, const Arrays& arrays, DType dtype, Device device = {})
      : inputs(tensors_of(row, arrays, dtype, device)) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (row.inputs[i].differentiable) leaves.push_back(inputs[i].requires_grad_());
  }
};

// Value, gradients and, where there are such, the gradients of the gradients, with respect to what comes from
// above too: all that an op makes.
inline Tensors all_results(const OpCase& row, const Arrays& arrays, DType dtype, Device device = {}) {
  const Evaluation e(row, arrays, dtype, device);
  const Tensor y = row.apply(e.inputs);
  Tensors results{y.detach()};
  if (e.leaves.empty()) return results;
  Tensor weights = projection(y, y.dtype(), 7);
  for (const Tensor& g : grad(y, e.leaves, weights, {.retain_graph = true})) results.push_back(g.detach());
  if (!row.second_derivative) return results;

  Tensor total;
  Tensors inputs = e.leaves;
  inputs.push_back(weights.requires_grad_());
  for (const Tensor& g : grad(y, e.leaves, weights, {.create_graph = true})) {
    const Tensor part = project(g, projection(g, dtype, 8));
    total = total.defined() ? total + part : part;
  }
  if (total.requires_grad())
    for (const Tensor& g : grad(total, inputs)) results.push_back(g.detach());
  return results;
}

inline std::vector<std::byte> bytes_of(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu());
  return {host.raw(), host.raw() + host.bytes()};
}

inline std::vector<std::vector<std::byte>> bytes_of(const Tensors& tensors) {
  std::vector<std::vector<std::byte>> bytes;
  for (const Tensor& tensor : tensors) bytes.push_back(bytes_of(tensor));
  return bytes;
}

// 0 to 1: how far apart two tensors are, relative to the largest element; infinite where there is a NaN.
inline double relative_error(const Tensor& value, const Tensor& reference) {
  const Array a = array_of(value), b = array_of(reference);
  check(a.shape == b.shape, "relative_error: {} and {} differ in shape", value.str(), reference.str());
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    largest = std::max(largest, std::abs(b.values[i]));
    const double difference = std::abs(a.values[i] - b.values[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    error = std::max(error, difference);
  }
  return error == 0 ? 0 : error / largest;
}

}  // namespace lamina::tests
