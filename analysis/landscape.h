// A loss over a plane, point by point. What normalises at a point that is not that of the training is a
// choice which changes the picture, so there is no default for it.
//
//   const Plane plane = random_plane(surface, 2, /*seed=*/1);
//   const auto grid = grid_of({{-1, 1, 25}, {-1, 1, 25}});
//   for (const LandscapePoint& p : measure(surface, plane, grid, {.statistics = StatisticsMode::kept})) …
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/loss_surface.h"
#include "analysis/plane.h"

namespace lamina::analysis {

// The running statistics of batch normalisation at the points of a plane.
enum class StatisticsMode {
  kept,       // those of the centre, as in most published pictures
  moved,      // along with the weights; for planes through points, whose statistics it mixes as their weights
  estimated,  // anew at each point, on the samples themselves: right far away, too; takes twice the time
};
const char* name_of(StatisticsMode mode);
StatisticsMode parse_statistics_mode(std::string_view name);  // throws UsageError with the nearest name

struct Axis {
  double first = -1, last = 1;
  int points = 25;
  double at(int index) const;
};

using Coordinates = std::vector<double>;
// All points, the first axis fastest.
std::vector<Coordinates> grid_of(const std::vector<Axis>& axes);
// `count` points on the straight way from a to b, both included.
std::vector<Coordinates> line_between(const Coordinates& a, const Coordinates& b, int count);

struct LandscapePoint {
  Coordinates coordinates;
  double loss = 0;              // may be infinite or NaN far away
  std::vector<double> metrics;  // means, as Objective::metrics() names them
};

struct LandscapeOptions {
  StatisticsMode statistics;
  // A CSV that has a row for each point as soon as it is known; those that it holds are not measured again.
  // Empty: none.
  std::filesystem::path file = {};
  std::function<bool(std::size_t done, std::size_t of)> keep_going = {};  // false: that was the last one
};

// In the order of `places`; fewer if keep_going() ended it. The surface is where it was afterwards. Throws
// Error for a file of other places, UsageError for a surface in training mode, which has no use for running
// statistics, and for `moved` on a plane whose directions have none.
std::vector<LandscapePoint> measure(const LossSurface& surface, const Plane& plane,
                                    std::span<const Coordinates> places, const LandscapeOptions& options);
// The same of points by themselves, with running statistics of their own unless they are estimated;
// `coordinates` say where they are drawn.
std::vector<LandscapePoint> measure(const LossSurface& surface, std::span<const State> points,
                                    std::span<const Coordinates> coordinates,
                                    const LandscapeOptions& options);

// How far a way between two solutions rises above the straight line between their losses,
// max over t of L(t) − ((1 − t) L(0) + t L(1)), and where; NaN if some loss is.
struct LossBarrier {
  double height = 0, t = 0;
};
LossBarrier loss_barrier(std::span<const double> losses);  // at equal steps of t from 0 to 1, 2 or more

}  // namespace lamina::analysis
