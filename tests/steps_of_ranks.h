// Steps that ranks take together, or one process alone, and how far two results are from each other.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.h"
#include "core/ops/elementwise.h"
#include "data/loader.h"
#include "optim/optimizer.h"
#include "train/objective.h"
#include "train/step.h"

namespace lamina::tests {

struct Trained {
  std::vector<double> state;   // of everything a weight file holds
  std::vector<double> losses;  // of the steps
};

inline std::vector<double> state_of(const Module& module) {
  std::vector<double> state;
  for (const auto& param : module.state()) {
    const std::vector<double> values = cast(param->value.detach(), DType::f64).to_vector<double>();
    state.insert(state.end(), values.begin(), values.end());
  }
  return state;
}

inline Trained take_steps(Objective& objective, Optimizer& optimizer, const data::Loader& loader,
                          const train::TrainingStepOptions& how, std::int64_t epochs) {
  train::TrainingStep step(objective, optimizer, how);
  Trained trained;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (const data::Part& part : loader.epoch(epoch)) {
      step.run(part);
      if (!part.completes_batch) continue;
      const train::StepResults results = step.results();
      REQUIRE(results.failure.empty());
      trained.losses.push_back(results.steps.at(0).metrics.loss());
    }
  }
  trained.state = state_of(objective.module());
  return trained;
}

// Of numbers below 1 their difference, of others beside their size.
inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i])));
  return largest;
}

}  // namespace lamina::tests
