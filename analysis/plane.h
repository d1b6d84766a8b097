// Planes and lines through parameter space, w = w₀ + a d₁ + b d₂, along which a loss is drawn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "analysis/eigenvalues.h"
#include "analysis/loss_surface.h"
#include "core/tensor.h"

namespace lamina::analysis {

// A point of parameter space, or a direction.
struct State {
  Tensor weights;     // [n] on the CPU
  Tensor statistics;  // running_statistics(); undefined: there are none, or a direction leaves them alone
};
State state_of(const LossSurface& surface);
void move_to(const LossSurface& surface, const State& state);

struct Plane {
  State centre;                   // w₀
  std::vector<State> directions;  // d₁, d₂; of a line d₁ alone

  // The running statistics move along where the directions have some.
  State at(std::span<const double> coordinates) const;
};

// Makes each filter of a direction as long as the network's own, d_f ← d_f ‖w_f‖ / ‖d_f‖ (Li et al. 2018,
// "Visualizing the Loss Landscape of Neural Nets"), in place. A filter is what gives one channel or one
// output: of convolutions and of linear layers a slice along the weight's first axis. Biases, and scales and
// shifts of normalisations, are set to 0 ("biasbn ignored"). Scaling a filter of the network so scales its
// part of the direction, and the picture stays the same where the loss does.
void normalise_filters(const LossSurface& surface, const Tensor& direction);

// Directions of normal elements, filter-normalised; not made orthogonal. A pure function of (seed, weights).
Plane random_plane(const LossSurface& surface, int dimensions, std::uint64_t seed);

// The plane of the largest Hessian eigenvalues. The directions have length 1, and all parameters move.
struct EigenPlane {
  Plane plane;
  EigenResult found;
};
EigenPlane eigen_plane(const LossSurface& surface, int dimensions, EigenOptions options = {});

// A plane that was made for points: its directions have length 1 and are orthogonal, so that coordinates are
// distances in parameter space, and running statistics move along.
struct FittedPlane {
  Plane plane;
  std::vector<std::vector<double>> coordinates;  // of each point, of its projection if it is not in the plane
  std::vector<double> explained;  // of principal components: the share of the points' variance along each
};

// Through two points the line, through three the plane; the first is its centre. Throws Error for points that
// are the same or lie on one line, UsageError for another number of them.
FittedPlane plane_through(std::span<const State> points);

// The first principal components of the points (at least dimensions + 1), about their mean; the plane lies
// through the last one, as Li et al. (2018) draw the way of a training to its end w_T. They come from the
// inner products of wₜ − w_T, in f64. Throws UsageError for fewer points, Error for some that span less, and
// where they do not fit into memory.
FittedPlane principal_plane(std::span<const State> points, int dimensions);

void save_plane(const std::filesystem::path& path, const Plane& plane);
Plane read_plane(const std::filesystem::path& path);  // throws Error for a file that holds none

// Of weights and running statistics, for telling whether they are the same.
std::uint64_t digest_of(const State& state);

}  // namespace lamina::analysis
