// A net that ranks train together, or one process alone: in parts as the ranks', or whole batches.
#pragma once

#include <functional>
#include <memory>

#include "core/ops/elementwise.h"
#include "core/parallel/collective.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "optim/optimizer.h"
#include "steps_of_ranks.h"
#include "train/objectives/classification.h"

namespace lamina::tests {

inline constexpr std::int64_t batch = 24, images = 72;  // of shares that are equal for 1, 2, 3 and 4 ranks

// A net of another dtype that takes the loader's f32 images.
class OnImages final : public Module {
 public:
  OnImages(const char* model, DType dtype)
      : dtype_(dtype),
        net_(&add_child<ResNet>("net", model, ResNetOptions{.classes = 4, .dtype = dtype, .seed = 3})) {}
  std::string kind() const override { return "images"; }

 private:
  Tensor forward(const Tensor& x) override { return (*net_)(cast(x, dtype_)); }
  DType dtype_;
  ResNet* net_;
};

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>(const ParamList&)>;

inline Trained train_net(const char* model, DType dtype, const MakeOptimizer& make_optimizer,
                         const train::TrainingStepOptions& how, data::LoaderOptions options) {
  OnImages net(model, dtype);
  Classification objective(net);
  const auto optimizer = make_optimizer(net.parameters());
  options.batch = batch, options.augment = data::standard(), options.drop_last = true, options.seed = 5;
  const data::Loader loader(data::synthetic({.classes = 4, .height = 8, .width = 8, .train = images}).train,
                            options);
  return tests::take_steps(objective, *optimizer, loader, how, 3);
}

inline Trained on_ranks(const char* model, DType dtype, const MakeOptimizer& optimizer,
                        bool sync_batch_norm = false) {
  return train_net(model, dtype, optimizer, {.ranks = &collective(), .sync_batch_norm = sync_batch_norm},
                   {.share = {.index = collective().rank(), .of = collective().size()}});
}

inline Trained alone(const char* model, DType dtype, const MakeOptimizer& optimizer) {
  return train_net(model, dtype, optimizer, {}, {.micro_batch = batch / collective().size()});
}

inline Trained whole(const char* model, DType dtype, const MakeOptimizer& optimizer) {
  return train_net(model, dtype, optimizer, {}, {});
}

// The parts of a batch as those of the ranks, or of so many samples within them, for a Trainer.
inline data::Loader loader_of_parts(Collective* ranks, std::int64_t micro_batch = 0) {
  data::LoaderOptions options{.batch = batch, .augment = data::standard(), .drop_last = true, .seed = 5};
  options.micro_batch = ranks == nullptr && micro_batch == 0 ? batch / collective().size() : micro_batch;
  return data::Loader(data::synthetic({.classes = 4, .height = 8, .width = 8, .train = images}).train,
                      options);
}

template <typename Kind, typename Options>
MakeOptimizer made(const Options& options) {
  return [options](const ParamList& params) { return std::make_unique<Kind>(params, options); };
}

}  // namespace lamina::tests
