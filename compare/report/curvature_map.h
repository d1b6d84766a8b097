// Maps layer × epoch of the curvature within each layer: curvature.safetensors of a run.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/maps.h"

namespace lamina::compare {

// ‖w_k‖² tr(H_kk), tr(H_kk), ‖w_k‖² λ₁(H_kk) and γ_k λ₁(H_kk), in the order of LayerMap::values; the last two
// of runs that measured the blocks' eigenvalues.
const std::vector<Quantity>& mapped_curvatures();

// Of the group's first complete run that has the file. What is wrong with it is told in `problem`.
LayerMap read_curvature_map(const Group& group, bool all_layers);

// Opens a paragraph.
std::string curvature_maps_introduction(const std::vector<LayerMap>& maps);

}  // namespace lamina::compare
