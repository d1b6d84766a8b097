// Points of a landscape against PyTorch, which evaluated weights that were moved by hand:
// tests/peers/landscape_points.py. Weights, statistics, directions and images come from an integer hash that
// both sides compute.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "analysis/landscape.h"
#include "catch.h"
#include "hashed_net.h"
#include "layers/resnet.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using analysis::LossSurface;
using analysis::State;

constexpr int images_in_all = 32, size = 16, parts_in_all = 2;

std::vector<data::Part> hashed_parts() {
  const Tensor images = make_images(images_in_all, size, DType::f32);
  std::vector<std::int32_t> labels;
  for (std::uint32_t i = 0; i < images_in_all; ++i)
    labels.push_back(static_cast<std::int32_t>(hash32(i, 201) % 10));
  std::vector<data::Part> parts;
  constexpr int n = images_in_all / parts_in_all;
  for (int at = 0; at < images_in_all; at += n)
    parts.push_back({.views = {images.rows(at, n).clone()},
                     .labels = Tensor::from(labels, {images_in_all}).rows(at, n).clone(),
                     .batch = at / n,
                     .batch_samples = n});
  return parts;
}

std::vector<double> hashed(std::int64_t elements, std::uint32_t stream) {
  std::vector<double> values(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = signed_unit(static_cast<std::uint32_t>(i), stream);
  return values;
}

// mean and variance of the running statistics: scale · u, and offset + scale · u.
void set_hashed_statistics(const Module& net, std::uint32_t stream, double mean, double variance,
                           double offset) {
  for (const auto& param : net.state()) {
    if (param->kind != ParamKind::buffer || !is_floating(param->value.dtype())) continue;
    const bool is_mean = param->name.ends_with("mean");
    std::vector<float> values;
    for (const double u : hashed(param->value.elements(), stream))
      values.push_back(static_cast<float>(is_mean ? mean * u : offset + variance * u));
    param->value.copy_from(Tensor::from(values, param->value.shape()));
    ++stream;
  }
}

Tensor hashed_direction(const LossSurface& surface, std::uint32_t stream) {
  const Tensor direction = Tensor::zeros({surface.size()}, {.dtype = surface.dtype()});
  for (const auto& range : surface.parameters()) {
    const Param& param = surface.objective().module().parameter(range.name);
    const Tensor stored = Tensor::from(hashed(range.size, stream++), to_file_layout(param).shape());
    direction.flat(range.first, param.value.shape()).copy_from(from_file_layout(param, stored));
  }
  analysis::normalise_filters(surface, direction);
  return direction;
}

}  // namespace

TEST_CASE("five points of a ResNet-8's landscape are PyTorch's, with statistics kept, moved and estimated") {
  const nlohmann::json golden = nlohmann::json::parse(
      std::ifstream(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/landscape_pytorch.json"));
  ResNet net("resnet8", {.classes = 10});
  set_weights(net);
  Classification objective(net);
  const LossSurface surface(objective, hashed_parts(), analysis::BatchNormMode::eval);
  analysis::Plane plane;
  for (std::uint32_t i = 0; i < 2; ++i) {
    set_hashed_statistics(net, 202 + 20 * i, 0.02, 0.05, 0);
    plane.directions.push_back({hashed_direction(surface, 120 + 40 * i), state_of(surface).statistics});
  }
  set_hashed_statistics(net, 100, 0.1, 0.3, 1);
  plane.centre = state_of(surface);

  const auto places = golden["points"].get<std::vector<analysis::Coordinates>>();
  for (const char* mode : {"kept", "moved", "estimated"}) {
    const auto points =
        measure(surface, plane, places, {.statistics = analysis::parse_statistics_mode(mode)});
    for (std::size_t i = 0; i < places.size(); ++i) {
      INFO(mode << " " << i);
      const double loss = golden[mode][i][0], accuracy = golden[mode][i][1];
      CHECK(std::abs(points[i].loss - loss) < 1e-5 * loss);  // of f32 against f64
      CHECK(points[i].metrics.at(0) == accuracy);
    }
  }
}

}  // namespace lamina::tests
