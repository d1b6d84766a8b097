#include "analysis/plane.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/running_statistics.h"
#include "analysis/tridiagonal.h"
#include "analysis/vectors.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/files/safetensors.h"

namespace lamina::analysis {
namespace {

// Of the variance along the first component, or of a difference: what is less is rounding of the points in
// f32, which carries some 1e-7 of each element.
constexpr double least_variance = 1e-12, least_length = 1e-6;

State copy_of(const State& state) {
  return {state.weights.clone(), state.statistics.defined() ? state.statistics.clone() : Tensor()};
}

void add_scaled_state(const State& y, double a, const State& x) {
  add_scaled(y.weights, a, x.weights);
  if (y.statistics.defined() && x.statistics.defined()) add_scaled(y.statistics, a, x.statistics);
}

void scale_state(const State& x, double a) {
  scale(x.weights, a);
  if (x.statistics.defined()) scale(x.statistics, a);
}

State difference(const State& a, const State& b) {
  State d = copy_of(a);
  add_scaled_state(d, -1, b);
  return d;
}

State zero_like(const State& state) {
  return {Tensor::zeros_like(state.weights),
          state.statistics.defined() ? Tensor::zeros_like(state.statistics) : Tensor()};
}

void check_dimensions(int dimensions) {
  if (dimensions != 1 && dimensions != 2)
    fail_usage("plane: {} dimensions; expected 1, a line, or 2", dimensions);
}

// (x_s − x̄)·(x_t − x̄) from x_s·x_t.
std::vector<double> centred(const std::vector<double>& gram, std::size_t n) {
  std::vector<double> means(n);
  for (std::size_t i = 0; i < n * n; ++i) means[i / n] += gram[i] / static_cast<double>(n);
  const double mean = std::accumulate(means.begin(), means.end(), 0.0) / static_cast<double>(n);
  std::vector<double> result(n * n);
  for (std::size_t i = 0; i < n * n; ++i) result[i] = gram[i] - means[i / n] - means[i % n] + mean;
  return result;
}

std::vector<double> inner_products(const std::vector<State>& x) {
  std::vector<double> gram(x.size() * x.size());
  for (std::size_t s = 0; s < x.size(); ++s)
    for (std::size_t t = 0; t <= s; ++t)
      gram[s * x.size() + t] = gram[t * x.size() + s] = inner_product(x[s].weights, x[t].weights);
  return gram;
}

// Σ vₜ xₜ, made to have length 1, pointing to where the first point is.
State component(const std::vector<State>& x, const std::vector<double>& v) {
  State u = zero_like(x.front());
  for (std::size_t t = 0; t < x.size(); ++t) add_scaled_state(u, v[t], x[t]);
  scale_state(u, (inner_product(x.front().weights, u.weights) < 0 ? -1 : 1) / length(u.weights));
  return u;
}

std::vector<double> project(const State& x, const std::vector<State>& directions) {
  std::vector<double> coordinates;
  coordinates.reserve(directions.size());
  for (const State& d : directions) coordinates.push_back(inner_product(x.weights, d.weights));
  return coordinates;
}

std::string tensor_name(const char* what, std::size_t direction) {
  return direction == 0 ? fmt::format("centre.{}", what) : fmt::format("direction{}.{}", direction, what);
}

}  // namespace

State state_of(const LossSurface& surface) {
  return {surface.position(), running_statistics(surface.objective().module())};
}

void move_to(const LossSurface& surface, const State& state) {
  surface.move_to(state.weights);
  if (state.statistics.defined()) set_running_statistics(surface.objective().module(), state.statistics);
}

State Plane::at(std::span<const double> coordinates) const {
  check(coordinates.size() == directions.size(), "plane: {} coordinates for {} directions",
        coordinates.size(), directions.size());
  State state = copy_of(centre);
  for (std::size_t i = 0; i < directions.size(); ++i) add_scaled_state(state, coordinates[i], directions[i]);
  return state;
}

void normalise_filters(const LossSurface& surface, const Tensor& direction) {
  const Tensor weights = surface.position();
  auto range = surface.parameters().begin();
  for (const auto& param : surface.objective().module().parameters()) {
    if (!param->trainable()) continue;
    const auto& [name, kind, first, size] = *range++;
    if (kind != ParamKind::weight || param->value.rank() < 2) {
      direction.flat(first, {size}).fill(0);
      continue;
    }
    const std::int64_t elements = size / param->value.size(0);
    for (std::int64_t at = first; at < first + size; at += elements) {
      const Tensor d_f = direction.flat(at, {elements}), w_f = weights.flat(at, {elements});
      if (const double before = length(d_f); before > 0) scale(d_f, length(w_f) / before);
    }
  }
}

Plane random_plane(const LossSurface& surface, int dimensions, std::uint64_t seed) {
  check_dimensions(dimensions);
  Plane plane{.centre = state_of(surface), .directions = {}};
  for (int i = 0; i < dimensions; ++i) {
    const Tensor d = Tensor::randn(
        {surface.size()}, {.dtype = surface.dtype(), .seed = seed, .draw = static_cast<std::uint32_t>(i)});
    normalise_filters(surface, d);
    plane.directions.push_back({.weights = d, .statistics = {}});
  }
  return plane;
}

EigenPlane eigen_plane(const LossSurface& surface, int dimensions, EigenOptions options) {
  check_dimensions(dimensions);
  options.top = dimensions;
  EigenPlane result{
      .plane = {.centre = state_of(surface), .directions = {}},
      .found = extreme_eigenvalues(hessian_of(surface), surface.size(), surface.dtype(), options)};
  for (const Tensor& y : result.found.vectors)
    result.plane.directions.push_back({.weights = y, .statistics = {}});
  check(std::ssize(result.plane.directions) == dimensions,
        "plane of eigenvectors: {} found; expected {}: with other random vectors there may be more",
        result.plane.directions.size(), dimensions);
  return result;
}

FittedPlane plane_through(std::span<const State> points) {
  if (points.size() != 2 && points.size() != 3)
    fail_usage("plane: through {} points; expected 2, a line, or 3", points.size());
  FittedPlane fitted{
      .plane = {.centre = copy_of(points[0]), .directions = {}}, .coordinates = {}, .explained = {}};
  std::vector<State>& directions = fitted.plane.directions;
  for (std::size_t k = 1; k < points.size(); ++k) {
    // Gram–Schmidt, twice: once leaves what rounding put back.
    State d = difference(points[k], points[0]);
    const double before = length(d.weights);
    check(before > 0, "plane: points 1 and {} have the same weights; expected different ones", k + 1);
    for (int pass = 0; pass < 2; ++pass)
      for (const State& u : directions) add_scaled_state(d, -inner_product(u.weights, d.weights), u);
    const double size = length(d.weights);
    check(size > least_length * before, "plane: point {} lies on the line through those before it", k + 1);
    scale_state(d, 1 / size);
    directions.push_back(std::move(d));
  }
  for (const State& point : points)
    fitted.coordinates.push_back(project(difference(point, points[0]), directions));
  return fitted;
}

FittedPlane principal_plane(std::span<const State> points, int dimensions) {
  check_dimensions(dimensions);
  if (std::ssize(points) < dimensions + 1)
    fail_usage("principal components: {} points for {} directions; expected {} or more", points.size(),
               dimensions, dimensions + 1);
  const Tensor& weights = points.front().weights;
  check_basis_fits("principal components", weights.elements(), weights.dtype(),
                   static_cast<int>(points.size()) + dimensions, "Take fewer points");
  std::vector<State> x;  // wₜ − w_T
  for (const State& point : points) x.push_back(difference(point, points.back()));
  const std::vector<double> products = centred(inner_products(x), x.size());
  const SymmetricEigen found = eigen(products);
  double total = 0;
  for (std::size_t i = 0; i < x.size(); ++i) total += products[i * x.size() + i];

  FittedPlane fitted{
      .plane = {.centre = copy_of(points.back()), .directions = {}}, .coordinates = {}, .explained = {}};
  for (std::size_t i = 0; i < static_cast<std::size_t>(dimensions); ++i) {
    const std::size_t place = x.size() - 1 - i;  // values ascend
    check(found.values[place] > least_variance * found.values.back(),
          "principal components: the {} points span {} directions; expected {}", points.size(), i,
          dimensions);
    fitted.plane.directions.push_back(component(x, found.vectors[place]));
    fitted.explained.push_back(found.values[place] / total);
  }
  for (const State& point : x) fitted.coordinates.push_back(project(point, fitted.plane.directions));
  return fitted;
}

void save_plane(const std::filesystem::path& path, const Plane& plane) {
  TensorFile file;
  std::vector<State> states{plane.centre};
  states.insert(states.end(), plane.directions.begin(), plane.directions.end());
  for (std::size_t i = 0; i < states.size(); ++i) {
    file.tensors.emplace_back(tensor_name("weights", i), states[i].weights);
    if (states[i].statistics.defined())
      file.tensors.emplace_back(tensor_name("statistics", i), states[i].statistics);
  }
  write_tensors(path, file);
}

Plane read_plane(const std::filesystem::path& path) {
  const TensorFile file = read_tensors(path);
  const auto state = [&](std::size_t i) {
    const Tensor* statistics = file.find(tensor_name("statistics", i));
    return State{.weights = file.at(tensor_name("weights", i)),
                 .statistics = statistics != nullptr ? *statistics : Tensor()};
  };
  Plane plane{.centre = state(0), .directions = {state(1)}};
  if (file.contains(tensor_name("weights", 2))) plane.directions.push_back(state(2));
  return plane;
}

std::uint64_t digest_of(const State& state) {
  std::uint64_t digests[2] = {digest_of_bytes(state.weights.raw(), state.weights.bytes()), 0};
  if (state.statistics.defined())
    digests[1] = digest_of_bytes(state.statistics.raw(), state.statistics.bytes());
  return digest_of_bytes(digests, sizeof digests);
}

}  // namespace lamina::analysis
