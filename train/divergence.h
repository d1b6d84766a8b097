// Where a loss stopped being finite.
#pragma once

#include <string>

#include "core/device.h"
#include "data/loader.h"
#include "train/evaluation.h"
#include "train/objective.h"
#include "train/sharpness_aware.h"

namespace lamina::train {

// Runs forward and backward on the batch again, checking every op, and returns a sentence about the first
// thing that is not finite: a parameter, or what an op of a layer made from finite inputs. `sharpness_aware`:
// null, or as of the step.
std::string find_non_finite(Objective& objective, const data::Loader& loader, std::int64_t epoch,
                            std::int64_t batch, Device device, SharpnessAware* sharpness_aware = nullptr);

// The same of what evaluate() does with a split in evaluation mode; of tensors, running statistics are looked
// at as well.
std::string find_non_finite(Objective& objective, const data::Split& split, EvaluateOptions options);

}  // namespace lamina::train
