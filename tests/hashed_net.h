// Weights and images from an integer hash that tests/peers/make_*_golden.py compute too, and what is compared
// with theirs.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"
#include "core/ops/elementwise.h"
#include "layers/module.h"
#include "layers/weights.h"

namespace lamina::tests {

// MurmurHash3's 32-bit finaliser.
inline std::uint32_t hash32(std::uint32_t index, std::uint32_t stream) {
  std::uint32_t x = index + (stream << 24);
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  return x ^ (x >> 16);
}

inline double signed_unit(std::uint32_t index, std::uint32_t stream) {
  return (hash32(index, stream) >> 8) / 8388608.0 - 1;
}

inline void set_weights(const Module& net) {
  std::uint32_t stream = 0;
  for (const auto& param : net.parameters()) {
    ++stream;
    std::vector<double> values(static_cast<std::size_t>(param->value.elements()));
    const double fan_in = static_cast<double>(values.size()) / static_cast<double>(param->value.size(0));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double u = signed_unit(static_cast<std::uint32_t>(i), stream);
      if (param->kind == ParamKind::weight)
        values[i] = std::sqrt(3 / fan_in) * u;
      else
        values[i] = (param->kind == ParamKind::norm && param->name.ends_with("weight") ? 1 : 0) + 0.1 * u;
    }
    const Shape shape = to_file_layout(*param).shape();
    param->value.copy_from(from_file_layout(*param, Tensor::from(values, shape)));
  }
}

inline Tensor make_images(int count, int size, DType dtype, std::uint32_t stream = 200) {
  std::vector<double> pixels(static_cast<std::size_t>(count * size * size * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = ((hash32(static_cast<std::uint32_t>(i), stream) >> 24) / 255.0 - 0.5) / 0.25;
  }
  return cast(Tensor::from(pixels, {count, size, size, 3}), dtype);
}

// The norm and a few elements, at positions of the file layout, as the script's describe().
inline std::vector<double> describe(const Param& param, const Tensor& value, std::uint32_t stream) {
  const Tensor stored = to_file_layout({.name = param.name, .kind = param.kind, .value = value});
  const std::vector<double> flat = cast(stored, DType::f64).to_vector<double>();
  double sum = 0;
  for (const double x : flat) sum += x * x;
  std::vector<double> numbers{std::sqrt(sum)};
  for (std::uint32_t k = 0; k < 4; ++k) numbers.push_back(flat[hash32(k, 300 + stream) % flat.size()]);
  return numbers;
}

inline double worst_difference(const std::vector<double>& ours, const nlohmann::json& theirs, double scale) {
  REQUIRE(ours.size() == theirs.size());
  double worst = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double difference = std::abs(ours[i] - theirs[i].get<double>()) / scale;
    if (!(difference <= worst)) worst = difference;  // also takes a NaN
  }
  return worst;
}

}  // namespace lamina::tests
