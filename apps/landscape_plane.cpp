#include "apps/landscape_plane.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/nearest.h"
#include "core/base/note.h"
#include "layers/foreign_weights.h"
#include "train/checkpoint.h"
#include "train/run_directory.h"

namespace lamina::app {
namespace {

using analysis::State;

constexpr int most_lanczos_steps = 60;
constexpr double margin = 0.25;  // of a fitted axis beyond the points, as a part of their extent

const std::vector<std::string> plane_names{"random", "eigen", "pca", "runs"};

void check_number_of_runs(const LandscapeCommand& command) {
  const std::size_t runs = command.runs.size();
  if (command.plane == "runs" && runs != 2 && runs != 3)
    fail_usage("--plane runs: {} given; expected 2, for the line through them, or 3", runs);
  if (command.plane != "runs" && runs != 1)
    fail_usage("--plane {}: {} runs given; expected 1, or --plane runs", command.plane, runs);
  const int spanned = command.plane == "runs" ? static_cast<int>(runs) - 1 : command.dimensions.value();
  if (command.dimensions != spanned)
    fail_usage("--dimensions {}: {} runs span {}", *command.dimensions, runs, spanned);
}

State state_in(analysis::OpenedSurface& opened, const TensorFile& file, const std::string& source) {
  const TensorFile weights = train::weights_of(file);
  load_weights(weights, opened.net().state(), true, source);
  check_finite(weights, source);
  return state_of(opened.surface());
}

// Weights of one place must not mean something else at another.
void check_alike(const std::string& a, const WeightInfo& of_a, const std::string& b, const WeightInfo& of_b) {
  const auto differ = [](const auto& x, const auto& y) { return !x.empty() && !y.empty() && x != y; };
  check(!differ(of_a.model, of_b.model) && !differ(of_a.stem, of_b.stem) &&
            !differ(of_a.shortcut, of_b.shortcut),
        "landscape: {} is a {} ({} stem, shortcut {}), {} a {} ({} stem, shortcut {}); a plane is through "
        "networks of one kind",
        a, of_a.model, of_a.stem, of_a.shortcut, b, of_b.model, of_b.stem, of_b.shortcut);
  check(!differ(of_a.classes, of_b.classes),
        "landscape: {} and {} have other classes, or in another order; a plane is through networks that "
        "learnt the same",
        a, b);
  check(!differ(of_a.mean, of_b.mean) && !differ(of_a.std, of_b.std),
        "landscape: {} and {} were trained on images that were normalised differently", a, b);
}

std::vector<OwnPoint> points_of_runs(const LandscapeCommand& command, analysis::OpenedSurface& opened) {
  std::vector<OwnPoint> points;
  WeightInfo first;
  for (const std::string& run : command.runs) {
    const train::FoundWeights found = train::find_weights(run);
    const WeightInfo info = info_from_metadata(found.file.metadata);
    if (points.empty())
      first = info;
    else
      check_alike(command.runs[0], first, run, info);
    points.push_back({run, state_in(opened, found.file, found.path.string())});
  }
  return points;
}

// "epoch 3", "step 120".
std::string label_of(const TrainingPosition& position) {
  return position.batch == 0 ? fmt::format("epoch {}", position.epoch)
                             : fmt::format("step {}", position.step);
}

std::vector<OwnPoint> points_of_training(const LandscapeCommand& command, analysis::OpenedSurface& opened) {
  check(train::RunDirectory::holds_run(command.file),
        "landscape: {}: no run directory; --plane pca draws the way of a training, from its checkpoints",
        command.file);
  const auto run = train::RunDirectory::open(command.file);
  std::vector<std::int64_t> steps = run.checkpoint_steps();
  std::reverse(steps.begin(), steps.end());
  const analysis::LossSurface& surface = opened.surface();  // each state twice, the second time centred
  analysis::check_basis_fits("landscape", surface.size(), surface.dtype(), 2 * std::ssize(steps) + 4,
                             "Remove some of the run's checkpoints");
  std::vector<OwnPoint> points;
  for (const std::int64_t step : steps) {
    const train::Checkpoint checkpoint = train::read_checkpoint(run.checkpoint(step));
    points.push_back(
        {label_of(checkpoint.position), state_in(opened, checkpoint.file, checkpoint.path.string())});
  }
  const std::filesystem::path end = run.file("weights.safetensors");
  if (is_there(end)) {
    OwnPoint last{"end", state_in(opened, read_tensors(end), end.string())};
    if (points.empty() || digest_of(points.back().state) != digest_of(last.state))
      points.push_back(std::move(last));
  }
  check(
      std::ssize(points) > *command.dimensions,
      "landscape: {}: it keeps {} of the training's states; expected {} or more for {} principal components. "
      "Train with --keep-checkpoints 1000, which keeps one of every epoch, or take --plane random",
      command.file, points.size(), *command.dimensions + 1, *command.dimensions);
  return points;
}

ChosenPlane eigen_plane_of(const LandscapeCommand& command, analysis::OpenedSurface& opened,
                           const analysis::LandscapeFolder& folder,
                           const std::function<void(const std::string&)>& progress) {
  if (auto found = folder.plane()) return {.plane = found->plane, .coordinates = {}, .notes = found->notes};
  const auto tell = [&](int steps, double largest, double residual) {
    progress(fmt::format("eigenvectors: {} products, largest eigenvalue {:.4g} ± {:.2g}", steps, largest,
                         residual));
  };
  analysis::EigenPlane found =
      eigen_plane(opened.surface(), *command.dimensions,
                  {.max_steps = most_lanczos_steps, .seed = command.seed, .start = {}, .progress = tell});
  if (!found.found.converged)
    note("the eigenvectors have not converged after {} products; their residuals are beside the eigenvalues",
         found.found.products);
  return {.plane = std::move(found.plane),
          .coordinates = {},
          .notes = {{"eigenvalues", found.found.values},
                    {"residuals", found.found.residuals},
                    {"converged", found.found.converged}}};
}

// The extent of the points, and a margin; where it is small, a part of the larger axis.
analysis::Axis fitted_axis(const ChosenPlane& chosen, std::size_t axis, double widest, int points) {
  double low = 0, high = 0;  // the centre is one of them
  for (const analysis::Coordinates& place : chosen.coordinates) {
    low = std::min(low, place[axis]);
    high = std::max(high, place[axis]);
  }
  const double beyond = margin * std::max(high - low, margin * widest);
  return {.first = low - beyond, .last = high + beyond, .points = points};
}

}  // namespace

LandscapeCommand completed(LandscapeCommand command) {
  if (command.plane.empty()) command.plane = command.runs.size() == 1 ? "random" : "runs";
  if (std::find(plane_names.begin(), plane_names.end(), command.plane) == plane_names.end())
    fail_usage("--plane {}: expected random, eigen, pca or runs; did you mean {}?", command.plane,
               nearest(command.plane, plane_names));
  if (!command.dimensions) command.dimensions = command.plane == "runs" && command.runs.size() == 2 ? 1 : 2;
  check_number_of_runs(command);
  if (command.bn_stats.empty()) command.bn_stats = command.plane == "runs" ? "estimated" : "kept";
  const bool is_of_one_point = command.plane == "random" || command.plane == "eigen";
  if (analysis::parse_statistics_mode(command.bn_stats) == analysis::StatisticsMode::moved && is_of_one_point)
    fail_usage(
        "--bn-stats moved: with --plane {} there are no statistics to move along; expected kept or estimated",
        command.plane);
  if (command.seed_given && !is_of_one_point)
    fail_usage("--seed: nothing is drawn for --plane {}", command.plane);
  command.file = command.runs.front();
  return command;
}

std::vector<OwnPoint> own_points(const LandscapeCommand& command, analysis::OpenedSurface& opened) {
  const State start = state_of(opened.surface());
  std::vector<OwnPoint> points;
  if (command.plane == "runs")
    points = points_of_runs(command, opened);
  else if (command.plane == "pca")
    points = points_of_training(command, opened);
  else
    points = {{command.file, start}};
  move_to(opened.surface(), start);
  return points;
}

ChosenPlane choose_plane(const LandscapeCommand& command, analysis::OpenedSurface& opened,
                         const std::vector<OwnPoint>& own, const analysis::LandscapeFolder& folder,
                         const std::function<void(const std::string&)>& progress) {
  std::vector<State> states;
  for (const OwnPoint& point : own) states.push_back(point.state);
  ChosenPlane chosen;
  if (command.plane == "random") {
    chosen.plane = random_plane(opened.surface(), *command.dimensions, command.seed);
  } else if (command.plane == "eigen") {
    chosen = eigen_plane_of(command, opened, folder, progress);
  } else {
    analysis::FittedPlane fitted = command.plane == "pca"
                                       ? analysis::principal_plane(states, *command.dimensions)
                                       : analysis::plane_through(states);
    chosen = {.plane = std::move(fitted.plane), .coordinates = fitted.coordinates, .notes = nullptr};
    if (command.plane == "pca") chosen.notes = {{"explained", fitted.explained}};
  }
  if (chosen.coordinates.empty())
    chosen.coordinates = {analysis::Coordinates(chosen.plane.directions.size(), 0.0)};
  return chosen;
}

std::vector<analysis::Axis> axes_of(const LandscapeCommand& command, const ChosenPlane& chosen) {
  const std::size_t dimensions = chosen.plane.directions.size();
  const bool fits = command.plane == "pca" || command.plane == "runs";
  if (!fits || command.range) {
    const double range = command.range.value_or(command.plane == "eigen" ? 0.5 : 1.0);
    return std::vector(dimensions, analysis::Axis{.first = -range, .last = range, .points = command.size});
  }
  double widest = 0;
  for (const analysis::Coordinates& a : chosen.coordinates)
    for (const analysis::Coordinates& b : chosen.coordinates)
      for (std::size_t i = 0; i < dimensions; ++i) widest = std::max(widest, std::abs(a[i] - b[i]));
  std::vector<analysis::Axis> axes;
  for (std::size_t i = 0; i < dimensions; ++i) axes.push_back(fitted_axis(chosen, i, widest, command.size));
  return axes;
}

std::string convention_of(const LandscapeCommand& command) {
  if (command.plane == "random")
    return "random normal directions, each filter (and each row of the last layer) scaled to the length of "
           "the network's own (Li et al. 2018); biases and normalisation do not move; not made orthogonal";
  if (command.plane == "eigen")
    return "eigenvectors of the largest eigenvalues of the Hessian, of length 1; all parameters move";
  if (command.plane == "pca")
    return "principal components of the checkpoints about their mean, of length 1, through the last one; all "
           "parameters move";
  return "orthonormal directions through the runs (Gram-Schmidt), the first at the origin; all parameters "
         "move";
}

}  // namespace lamina::app
