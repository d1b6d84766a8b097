// Batch normalisation in training mode needs at least 2 values a channel: one image of 1 × 1 has no
// deviation.
#pragma once

#include "core/device.h"
#include "data/loader.h"
#include "train/objective.h"

namespace lamina::train {

// Throws UsageError if some part of a batch, as the loader makes them, would give a batch normalisation of
// the objective's module, in training mode now, a single value: which part, which layer, and what to change.
// `part_option`: the option that says how large parts are.
void check_batch_norms(Objective& objective, const data::Loader& loader, Device device,
                       const char* part_option);

}  // namespace lamina::train
