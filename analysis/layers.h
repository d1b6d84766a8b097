// The curvature of one layer at a time: blocks H_kk of the Hessian. A normalised layer's loss does not change
// when its weights w_k are scaled, but H_kk does, by 1/‖w_k‖²; so ‖w_k‖² λ₁(H_kk) and ‖w_k‖² tr(H_kk) compare
// networks whose weights have different lengths, as LARS, LAMB and TVLARS leave them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analysis/loss_surface.h"

namespace lamina::analysis {

// Parameters that are looked at together: they follow one another.
struct Layer {
  ParameterRange range;                 // named "layer1.0.conv1.weight"; of a normalisation "layer1.0.bn1"
  std::vector<std::size_t> parameters;  // of the surface
};

// Each weight and each bias by itself, scale and shift of a normalisation together.
std::vector<Layer> layers_of(const LossSurface& surface);

struct LayerEigenvalue {
  double eigenvalue = 0, residual = 0;  // λ₁(H_kk), and the Ritz pair's bound
  double weight_norm = 0;               // ‖w_k‖
  int steps = 0;
};

struct LayerOptions {
  double tolerance = 1e-2;  // of the residual, as a part of the layer's largest |θ|
  int max_steps = 30;
  std::uint64_t seed = 0;
  // Layers that share a backward pass; 0: all, which is fastest and takes the most memory.
  int at_once = 0;
  std::function<void(int done, int of)> progress = {};  // layers
};

// λ₁ of each layer, by Lanczos within its block, all layers step by step; products come from `products`, or
// from the surface. Throws UsageError for options out
// of range, Error for bases that do not fit into memory.
std::vector<LayerEigenvalue> layer_eigenvalues(const LossSurface& surface, const std::vector<Layer>& layers,
                                               const LayerOptions& options = {}, Products products = {});

}  // namespace lamina::analysis
