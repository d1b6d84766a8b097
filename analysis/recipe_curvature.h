// The curvature that a run's options ask for.
#pragma once

#include <memory>

#include "train/observer.h"
#include "train/setup.h"

namespace lamina::analysis {

// Null if they ask for none (sharpness_every). Throws UsageError for more samples than there are.
std::unique_ptr<Observer> curvature_of(const train::Setup& setup);

}  // namespace lamina::analysis
