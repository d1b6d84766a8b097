#include "analysis/landscape.h"

#include <fmt/ranges.h>

#include <cmath>
#include <limits>
#include <optional>

#include "analysis/running_statistics.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/nearest.h"
#include "core/base/option_name.h"

namespace lamina::analysis {
namespace {

constexpr const char* coordinate_names[] = {"a", "b"};

// The surface goes back to where it stood.
class Visit {
 public:
  explicit Visit(const LossSurface& surface) : surface_(surface), before_(state_of(surface)) {}
  ~Visit() { move_to(surface_, before_); }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  const LossSurface& surface_;
  State before_;
};

// The CSV of the points, and those that an earlier process left in it.
class PointFile {
 public:
  PointFile(const std::filesystem::path& path, std::size_t dimensions, const std::vector<MetricInfo>& metrics)
      : path_(path) {
    columns_ = {"point"};
    columns_.insert(columns_.end(), coordinate_names, coordinate_names + dimensions);
    columns_.push_back("loss");
    for (const MetricInfo& metric : metrics) columns_.push_back(metric.name);
    csv_.emplace(path, fmt::format("{}", fmt::join(columns_, ",")), std::numeric_limits<std::int64_t>::max());
  }

  std::vector<LandscapePoint> read(std::span<const Coordinates> places) const {
    std::vector<LandscapePoint> points;
    for (const std::vector<double>& row : read_csv(path_, columns_)) {
      const std::size_t at = points.size(), first = places.empty() ? 0 : places[0].size() + 1;
      check(at < places.size() && std::equal(places[at].begin(), places[at].end(), row.begin() + 1),
            "{}: row {} is of no point of this landscape; choose another folder, or remove it",
            path_.string(), at + 1);
      points.push_back({places[at], row[first], {row.begin() + std::ptrdiff_t(first) + 1, row.end()}});
    }
    return points;
  }

  // What is handed to the system survives whatever ends the process.
  void add(std::size_t number, const LandscapePoint& point) {
    std::string row = std::to_string(number);
    for (const double x : point.coordinates) row += fmt::format(",{}", x);
    row += fmt::format(",{}", point.loss);
    for (const double x : point.metrics) row += fmt::format(",{}", x);
    csv_->add(row);
    csv_->flush();
  }

 private:
  std::filesystem::path path_;
  std::vector<std::string> columns_;
  std::optional<CsvFile> csv_;
};

LandscapePoint measure_here(const LossSurface& surface, const Coordinates& place, StatisticsMode mode) {
  if (mode == StatisticsMode::estimated) estimate_running_statistics(surface);
  const Metrics measured = surface.value();
  LandscapePoint point{.coordinates = place, .loss = measured.loss(), .metrics = {}};
  for (std::size_t i = 0; i < measured.sums.size(); ++i) point.metrics.push_back(measured.mean(i));
  return point;
}

// go_to(i) moves the surface to the i-th point.
template <typename GoTo>
std::vector<LandscapePoint> measure_each(const LossSurface& surface, std::span<const Coordinates> places,
                                         const LandscapeOptions& options, const GoTo& go_to) {
  if (surface.batch_norm() == BatchNormMode::train)
    fail_usage("landscape: batch normalisation is in training mode; expected evaluation mode");
  std::vector<LandscapePoint> points;
  std::optional<PointFile> file;
  if (!options.file.empty()) {
    file.emplace(options.file, places.empty() ? 0 : places[0].size(), surface.objective().metrics());
    points = file->read(places);
  }
  const Visit visit(surface);
  while (points.size() < places.size()) {
    const std::size_t i = points.size();
    go_to(i);
    points.push_back(measure_here(surface, places[i], options.statistics));
    if (file) file->add(i + 1, points.back());
    if (options.keep_going && !options.keep_going(i + 1, places.size())) break;
  }
  return points;
}

}  // namespace

const char* name_of(StatisticsMode mode) {
  switch (mode) {
    case StatisticsMode::kept:
      return "kept";
    case StatisticsMode::moved:
      return "moved";
    case StatisticsMode::estimated:
      return "estimated";
  }
  return "?";
}

StatisticsMode parse_statistics_mode(std::string_view name) {
  for (const auto mode : {StatisticsMode::kept, StatisticsMode::moved, StatisticsMode::estimated})
    if (name == name_of(mode)) return mode;
  fail_usage("{} {}: expected kept, moved or estimated; did you mean {}?", option_name("bn_stats"), name,
             nearest(std::string(name), {"kept", "moved", "estimated"}));
}

double Axis::at(int index) const {
  return points < 2 ? first : first + (last - first) * index / (points - 1);
}

std::vector<Coordinates> grid_of(const std::vector<Axis>& axes) {
  std::vector<Coordinates> places{{}};
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    std::vector<Coordinates> longer;
    for (const Coordinates& place : places) {
      for (int i = 0; i < axis->points; ++i) {
        longer.push_back({axis->at(i)});
        longer.back().insert(longer.back().end(), place.begin(), place.end());
      }
    }
    places = std::move(longer);
  }
  return places;
}

std::vector<Coordinates> line_between(const Coordinates& a, const Coordinates& b, int count) {
  std::vector<Coordinates> places;
  for (int i = 0; i < count; ++i) {
    Coordinates place;
    for (std::size_t k = 0; k < a.size(); ++k) place.push_back(Axis{a[k], b[k], count}.at(i));
    places.push_back(std::move(place));
  }
  return places;
}

std::vector<LandscapePoint> measure(const LossSurface& surface, const Plane& plane,
                                    std::span<const Coordinates> places, const LandscapeOptions& options) {
  const bool moves = options.statistics == StatisticsMode::moved;
  if (moves && plane.centre.statistics.defined() && !plane.directions.front().statistics.defined())
    fail_usage(
        "landscape: {} = moved, but the directions have no running statistics; expected a plane through "
        "several points, or kept or estimated",
        option_name("bn_stats"));
  return measure_each(surface, places, options, [&](std::size_t i) {
    State state = plane.at(places[i]);
    if (!moves) state.statistics = plane.centre.statistics;
    move_to(surface, state);
  });
}

std::vector<LandscapePoint> measure(const LossSurface& surface, std::span<const State> points,
                                    std::span<const Coordinates> coordinates,
                                    const LandscapeOptions& options) {
  check(points.size() == coordinates.size(), "landscape: {} points with {} places", points.size(),
        coordinates.size());
  return measure_each(surface, coordinates, options, [&](std::size_t i) { move_to(surface, points[i]); });
}

LossBarrier loss_barrier(std::span<const double> losses) {
  check(losses.size() >= 2, "loss barrier: {} losses; expected 2 or more", losses.size());
  LossBarrier barrier;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(losses.size() - 1);
    const double height = losses[i] - ((1 - t) * losses.front() + t * losses.back());
    if (std::isnan(height)) return {.height = height, .t = t};
    if (height > barrier.height) barrier = {.height = height, .t = t};
  }
  return barrier;
}

}  // namespace lamina::analysis
