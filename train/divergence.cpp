#include "train/divergence.h"

#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "train/keep_buffers.h"

namespace lamina::train {
namespace {

// Of a tensor that has values which are not finite; empty: none.
std::string describe_non_finite(const ParamList& params) {
  for (const auto& param : params) {
    const Tensor& value = param->value;
    if (is_floating(value.dtype()) && !backend_for(value.device()).all_finite(value))
      return fmt::format("{} holds values that are not finite", param->name);
  }
  return "";
}

}  // namespace

std::string find_non_finite(Objective& objective, const data::Loader& loader, std::int64_t epoch,
                            std::int64_t batch, Device device, SharpnessAware* sharpness_aware) {
  const std::string damaged = describe_non_finite(objective.module().parameters());
  if (!damaged.empty()) return damaged;
  const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {DType::f32, device});
  const KeepBuffers keep(objective.module());
  const FiniteCheck check_every_op;
  try {
    for (const data::Part& part : loader.epoch(epoch, device, batch)) {
      accumulate_gradients(objective, part, sums, sharpness_aware);
      if (part.completes_batch) break;
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "every op by itself is finite now: sums over the batch overflow, or dropout drew other masks";
}

std::string find_non_finite(Objective& objective, const data::Split& split, EvaluateOptions options) {
  const std::string damaged = describe_non_finite(objective.module().state());
  if (!damaged.empty()) return damaged;
  const FiniteCheck check_every_op;  // which reads results back
  options.capture = false;
  try {
    evaluate(objective, split, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "every op by itself is finite: the sum of the losses overflows";
}

}  // namespace lamina::train
