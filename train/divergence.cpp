#include "train/divergence.h"

#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "train/keep_buffers.h"

namespace lamina::train {

std::string find_non_finite(Objective& objective, const data::Loader& loader, std::int64_t epoch,
                            std::int64_t batch, Device device) {
  for (const auto& param : objective.module().parameters()) {
    if (!backend_for(device).all_finite(param->value)) {
      return fmt::format("{} holds values that are not finite", param->name);
    }
  }
  const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {DType::f32, device});
  const KeepBuffers keep(objective.module());
  const FiniteCheck check_every_op;
  try {
    for (const data::Part& part : loader.epoch(epoch, device, batch)) {
      accumulate_gradients(objective, part, sums);
      if (part.completes_batch) break;
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "every op by itself is finite now: sums over the batch overflow, or dropout drew other masks";
}

}  // namespace lamina::train
