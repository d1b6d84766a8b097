// Planes through parameter space: random, of eigenvectors, through points, of principal components.
#include <algorithm>
#include <cmath>

#include "analysis/landscape.h"
#include "analysis/plane.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "golden_net.h"
#include "message_of.h"
#include "temporary_directory.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using analysis::add_scaled;
using analysis::FittedPlane;
using analysis::inner_product;
using analysis::length;
using analysis::LossSurface;
using analysis::Plane;
using analysis::State;
using analysis::StatisticsMode;

struct PlaneNet {
  PlaneNet() : objective(net), surface(objective, golden_parts(), analysis::BatchNormMode::eval) {}
  GoldenNet net;
  Classification objective;
  LossSurface surface;
};

// Points somewhere around the golden net, with statistics of their own.
std::vector<State> points_around(const LossSurface& surface, int count) {
  std::vector<State> points;
  for (int k = 0; k < count; ++k) {
    State point = state_of(surface);
    // Of very different size, so that the principal components are well apart.
    for (std::uint32_t j = 0; j < 4; ++j)
      add_scaled(point.weights, std::sin(1.3 * k + j) / std::pow(3, j),
                 Tensor::randn({surface.size()}, {.dtype = DType::f64, .seed = 5, .draw = j}));
    add_scaled(point.statistics, 0.01 * k, point.statistics);
    points.push_back(std::move(point));
  }
  return points;
}

// Singular values and right singular vectors of the rows by one-sided Jacobi rotations (Hestenes 1958), the
// largest first; on the columns of the transpose.
struct Svd {
  std::vector<double> values;
  std::vector<std::vector<double>> vectors;
};
Svd naive_svd(std::vector<std::vector<double>> rows) {
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (std::size_t p = 0; p < rows.size(); ++p) {
      for (std::size_t q = p + 1; q < rows.size(); ++q) {
        const double a = dot(rows[p], rows[p]), b = dot(rows[q], rows[q]), c = dot(rows[p], rows[q]);
        if (std::abs(c) <= 1e-17 * std::sqrt(a * b)) continue;
        const double angle = 0.5 * std::atan2(2 * c, a - b), cos = std::cos(angle), sin = std::sin(angle);
        for (std::size_t i = 0; i < rows[p].size(); ++i) {
          const double x = rows[p][i], y = rows[q][i];
          rows[p][i] = cos * x + sin * y;
          rows[q][i] = cos * y - sin * x;
        }
      }
    }
  }
  std::sort(rows.begin(), rows.end(), [&](const auto& x, const auto& y) { return dot(x, x) > dot(y, y); });
  Svd svd;
  for (std::vector<double>& row : rows) {
    svd.values.push_back(std::sqrt(dot(row, row)));
    for (double& x : row) x /= svd.values.back();
    svd.vectors.push_back(row);
  }
  return svd;
}

}  // namespace

TEST_CASE("a random direction has filters as long as the network's, and leaves all else alone") {
  const PlaneNet of;
  const Plane plane = random_plane(of.surface, 2, 7);
  const State centre = state_of(of.surface);
  REQUIRE(plane.directions.size() == 2);
  for (const State& direction : plane.directions) {
    CHECK_FALSE(direction.statistics.defined());
    for (const auto& [name, kind, first, size] : of.surface.parameters()) {
      const std::int64_t filters = kind == ParamKind::weight ? of.net.parameter(name).value.shape()[0] : 1,
                         elements = size / filters;
      for (std::int64_t f = 0; f < filters; ++f) {
        const double d = length(direction.weights.flat(first + f * elements, {elements}));
        const double w = length(centre.weights.flat(first + f * elements, {elements}));
        CHECK(d == (kind == ParamKind::weight ? Approx(w).epsilon(1e-14) : Approx(0).margin(0)));
      }
    }
  }
  const Tensor &d1 = plane.directions[0].weights, &d2 = plane.directions[1].weights;
  const double cosine = inner_product(d1, d2) / length(d1) / length(d2);
  CHECK(std::abs(cosine) < 4 / std::sqrt(324.0));  // 324 elements that move: a deviation of 1/√324
  CHECK(d1.to_vector<double>() == random_plane(of.surface, 1, 7).directions[0].weights.to_vector<double>());
  CHECK(d1.to_vector<double>() != random_plane(of.surface, 1, 8).directions[0].weights.to_vector<double>());
}

TEST_CASE("scaling filters of a normalised layer leaves the picture along random directions as it is") {
  const PlaneNet of;
  const auto line = analysis::grid_of({{-1, 1, 5}});
  const auto picture = [&] {
    return measure(of.surface, random_plane(of.surface, 1, 3), line,
                   {.statistics = StatisticsMode::estimated});
  };
  const auto before = picture();
  // Filters of conv1 by 2, 4, 8, 16: statistics that are estimated take that out again, but for their eps.
  Tensor w = of.net.parameter("conv1.weight").value.detach();
  const std::int64_t elements = w.elements() / 4;
  for (int f = 0; f < 4; ++f)
    analysis::scale(w.view({w.elements()}).flat(f * elements, {elements}), std::pow(2, f + 1));
  const auto after = picture();
  // The variances of conv1's outputs are 1e-2 and more, so that eps = 1e-5 weighs less than 1e-3 in them.
  for (std::size_t i = 0; i < line.size(); ++i) CHECK(after[i].loss == Approx(before[i].loss).epsilon(1e-3));
}

TEST_CASE("the loss along an eigenvector is curved by its eigenvalue") {
  const PlaneNet of;
  const auto [plane, found] = eigen_plane(of.surface, 2, {.tolerance = 1e-8, .max_steps = 120});
  REQUIRE(found.converged);
  CHECK(found.values[0] == Approx(0.7418677689).epsilon(1e-9));
  for (std::size_t k = 0; k < 2; ++k) {
    constexpr double h = 5e-5;  // few of the 2800 ReLUs have a kink within 2 h
    std::vector<analysis::Coordinates> places;
    for (int i = -2; i <= 2; ++i) {
      places.push_back({0, 0});
      places.back()[k] = i * h;
    }
    const auto p = measure(of.surface, plane, places, {.statistics = StatisticsMode::kept});
    const double curvature =
        (-p[0].loss + 16 * p[1].loss - 30 * p[2].loss + 16 * p[3].loss - p[4].loss) / (12 * h * h);
    // Rounding of the losses by h² is some 1e-6; the rule's own error, of the order h⁴, is nothing to that.
    CHECK(curvature == Approx(found.values[k]).epsilon(1e-5));
  }
}

TEST_CASE("a plane through three points has each of them at its coordinates, running statistics included") {
  const PlaneNet of;
  const std::vector<State> points = points_around(of.surface, 3);
  const FittedPlane fitted = analysis::plane_through(points);
  const auto& [plane, coordinates, explained] = fitted;
  REQUIRE(plane.directions.size() == 2);
  const Tensor &u1 = plane.directions[0].weights, &u2 = plane.directions[1].weights;
  CHECK(length(u1) == Approx(1).epsilon(1e-14));
  CHECK(length(u2) == Approx(1).epsilon(1e-14));
  CHECK(std::abs(inner_product(u1, u2)) < 1e-14);
  for (std::size_t k = 0; k < 3; ++k) {
    State there = plane.at(coordinates[k]);
    CHECK(std::abs(coordinates[k][0]) + std::abs(coordinates[k][1]) < 100);
    add_scaled(there.weights, -1, points[k].weights);
    add_scaled(there.statistics, -1, points[k].statistics);
    CHECK(length(there.weights) < 1e-13 * length(points[k].weights));
    CHECK(length(there.statistics) < 1e-13 * length(points[k].statistics));
  }
  const auto own = measure(of.surface, points, coordinates, {.statistics = StatisticsMode::kept});
  const auto moved = measure(of.surface, plane, coordinates, {.statistics = StatisticsMode::moved});
  for (std::size_t k = 0; k < 3; ++k) CHECK(moved[k].loss == Approx(own[k].loss).epsilon(1e-12));
  CHECK(analysis::plane_through(std::span(points).first(2)).plane.directions.size() == 1);
}

TEST_CASE("principal components of points are those of a naive singular value decomposition") {
  const PlaneNet of;
  const std::vector<State> points = points_around(of.surface, 7);
  const auto [plane, coordinates, explained] = analysis::principal_plane(points, 2);
  std::vector<std::vector<double>> rows;
  std::vector<double> mean(static_cast<std::size_t>(of.surface.size()));
  for (const State& point : points) {
    rows.push_back(point.weights.to_vector<double>());
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += rows.back()[i] / 7;
  }
  for (auto& row : rows)
    for (std::size_t i = 0; i < mean.size(); ++i) row[i] -= mean[i];
  const Svd svd = naive_svd(rows);
  double variance = 0;
  for (const double s : svd.values) variance += s * s;
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(explained[k] == Approx(svd.values[k] * svd.values[k] / variance).epsilon(1e-12));
    const Tensor theirs = Tensor::from(svd.vectors[k], {of.surface.size()});
    const Tensor& ours = plane.directions[k].weights;
    CHECK(std::abs(inner_product(ours, theirs)) == Approx(1).epsilon(1e-12));
    CHECK(coordinates[0][k] > 0);
    CHECK(coordinates[6][k] == 0);  // the end of the way is the centre
    State d = points[2];
    d.weights = d.weights.clone();
    add_scaled(d.weights, -1, points[6].weights);
    CHECK(coordinates[2][k] == Approx(inner_product(d.weights, ours)).epsilon(1e-12));
  }
  CHECK(plane.centre.weights.to_vector<double>() == points[6].weights.to_vector<double>());
}

TEST_CASE("a plane that was saved is the same one") {
  const PlaneNet of;
  const Directory directory;
  const FittedPlane fitted = analysis::plane_through(points_around(of.surface, 3));
  save_plane(directory.file("plane.safetensors"), fitted.plane);
  const Plane read = analysis::read_plane(directory.file("plane.safetensors"));
  REQUIRE(read.directions.size() == 2);
  CHECK(digest_of(read.centre) == digest_of(fitted.plane.centre));
  CHECK(digest_of(read.directions[0]) == digest_of(fitted.plane.directions[0]));
  CHECK(digest_of(read.directions[1]) == digest_of(fitted.plane.directions[1]));
  CHECK(digest_of(read.directions[1]) != digest_of(fitted.plane.directions[0]));
}

TEST_CASE("planes that cannot be are refused") {
  const PlaneNet of;
  std::vector<State> points = points_around(of.surface, 3);
  const auto through = [](std::span<const State> some) { return [=] { analysis::plane_through(some); }; };
  CHECK(unexplained(through(std::span(points).first(1)), {"1 points", "2, a line, or 3"}) == "nothing");
  points[1] = points[0];
  CHECK(unexplained(through(points), {"points 1 and 2", "same weights"}) == "nothing");
  points[1] = points_around(of.surface, 2)[1];
  points[2] = analysis::plane_through(std::span(points).first(2)).plane.at(std::vector{3.0});
  CHECK(unexplained(through(points), {"point 3", "on the line"}) == "nothing");
  CHECK(unexplained([&] { analysis::principal_plane(points, 2); }, {"3 points span 1", "expected 2"}) ==
        "nothing");
  CHECK(unexplained([&] { analysis::principal_plane(std::span(points).first(2), 2); },
                    {"2 points for 2 directions", "expected 3"}) == "nothing");
  CHECK(unexplained([&] { analysis::random_plane(of.surface, 3, 0); }, {"3 dimensions"}) == "nothing");
}

}  // namespace lamina::tests
