// Everything a program that uses Lamina needs:
//   #include <lamina/lamina.h>
//   using namespace lamina;
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <utility>

#include "analysis/curvature.h"
#include "analysis/lanczos.h"
#include "analysis/sharpness.h"
#include "compare/report/report.h"
#include "core/autograd.h"
#include "core/base/error.h"
#include "core/captured.h"
#include "core/files/safetensors.h"
#include "core/instruction_set.h"
#include "core/ops/ops.h"
#include "core/random.h"
#include "core/tensor.h"
#include "data/data.h"
#include "layers/copy_state.h"
#include "layers/freeze.h"
#include "layers/init.h"
#include "layers/layers.h"
#include "layers/resnet.h"
#include "layers/summary.h"
#include "layers/weights.h"
#include "optim/norms.h"
#include "optim/optimizer.h"
#include "optim/presets.h"
#include "optim/run_defaults.h"
#include "optim/schedule.h"
#include "optim/state.h"
#include "train/evaluation.h"
#include "train/features.h"
#include "train/find_lr.h"
#include "train/knn.h"
#include "train/linear_probe.h"
#include "train/noise_scale.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/classification.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"
#include "train/official_probe.h"
#include "train/online_knn.h"
#include "train/sharpness_aware.h"
#include "train/trace.h"
#include "train/trainer.h"
#include "train/weight_average.h"

namespace lamina {

// One line on standard output: print("epoch {}: {:.2f} %", epoch, 100 * accuracy); tensors with their
// elements. An object, not a function: so other functions of this name, like fmt's, are not considered.
inline constexpr struct Print {
  template <typename... Args>
  void operator()(fmt::format_string<Args...> format, Args&&... args) const {
    fmt::print(format, std::forward<Args>(args)...);
    end_line();
  }
  void operator()(const Tensor& x) const { (*this)("{}", x); }
  void operator()(const Shape& shape) const { (*this)("{}", shape); }

 private:
  static void end_line() {
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }
} print;

}  // namespace lamina
