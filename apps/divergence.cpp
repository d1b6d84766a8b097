#include "apps/divergence.h"

#include "apps/training_step.h"
#include "core/autograd.h"
#include "core/backend.h"
#include "core/error.h"

namespace lamina {

std::string find_non_finite(Module& net, const data::Loader& loader, std::int64_t epoch, std::int64_t batch,
                            Device device, double label_smoothing) {
  for (const auto& param : net.parameters()) {
    if (!backend_for(device).all_finite(param->value)) {
      return fmt::format("{} holds values that are not finite", param->name);
    }
  }
  Tensor sums = Tensor::zeros({2}, {DType::f32, device});
  const FiniteCheck check_every_op;
  try {
    for (const data::Batch& part : loader.epoch(epoch, device, batch)) {
      accumulate_gradients(net, part, label_smoothing, sums);
      if (part.last_part) break;
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "every op by itself is finite: sums over the batch overflow";
}

}  // namespace lamina
