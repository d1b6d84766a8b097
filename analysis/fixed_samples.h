// Samples that stay the same from measurement to measurement, unaugmented.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/loader.h"
#include "train/objective.h"

namespace lamina::analysis {

struct FixedSamples {
  // The first of a fixed random order (data::limit()); 0: all; unset: 1,024, or all if there are fewer.
  std::optional<std::int64_t> samples = {};
  // Samples that are computed at once. In training mode they are normalised together, and losses over whole
  // batches are of so many.
  std::int64_t micro_batch = 256;
  int workers = 2;
};

// Images as they are in tests; where the objective compares the samples of a batch, two views of each, drawn
// once as `views` says. Throws UsageError for more samples than there are.
std::vector<data::Part> fixed_samples(const Objective& objective, const data::Split& split,
                                      const std::optional<data::ViewRecipe>& views,
                                      const FixedSamples& options, Device device);

// Of what they show and of their labels, part by part.
std::uint64_t digest_of_samples(const std::vector<data::Part>& parts);

}  // namespace lamina::analysis
