// The plane that `lamina landscape` draws: which one is asked for, and the points it is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/landscape.h"
#include "analysis/landscape_folder.h"
#include "analysis/open_surface.h"
#include "analysis/plane.h"

namespace lamina::app {

struct LandscapeCommand : analysis::SurfaceOptions {
  std::vector<std::string> runs;
  std::string plane;              // random, eigen, pca or runs; empty: random of one run, else runs
  std::optional<int> dimensions;  // 1 or 2; unset: 2, of the line through two runs 1
  int size = 25;                  // points along each axis
  std::optional<double> range;    // the axes go from −range to range
  std::uint64_t seed = 1;
  bool seed_given = false;
  std::string bn_stats;  // empty: kept, of several runs estimated
  std::string output = "landscape.html", progress = "auto";
  bool json = false;
};

// With all that was left out filled in. Throws UsageError for what makes no sense.
LandscapeCommand completed(LandscapeCommand command);

// A run, or a state that a run went through.
struct OwnPoint {
  std::string label;
  analysis::State state;
};
// The runs, the first as opened, or of a PCA plane the states that the run's checkpoints hold, the final
// weights last; of other planes the run alone. Throws Error for runs of different models and for too few
// checkpoints.
std::vector<OwnPoint> own_points(const LandscapeCommand& command, analysis::OpenedSurface& opened);

struct ChosenPlane {
  analysis::Plane plane;
  std::vector<analysis::Coordinates> coordinates;  // of the own points
  nlohmann::json notes;  // of eigen planes: eigenvalues, residuals, converged; of PCA: explained
};
// An eigen plane that the folder has is not looked for again. `progress` is told how far Lanczos is.
ChosenPlane choose_plane(const LandscapeCommand& command, analysis::OpenedSurface& opened,
                         const std::vector<OwnPoint>& own, const analysis::LandscapeFolder& folder,
                         const std::function<void(const std::string& text)>& progress);

// −range … range; fitted to the own points where none is given.
std::vector<analysis::Axis> axes_of(const LandscapeCommand& command, const ChosenPlane& chosen);

// How directions were made, in a sentence.
std::string convention_of(const LandscapeCommand& command);

}  // namespace lamina::app
