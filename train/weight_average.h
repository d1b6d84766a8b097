// An average of a module's weights over the steps of its training, which often tests better than the last
// weights (Polyak & Juditsky 1992; as here, Tarvainen & Valpola 2017):
//
//   average <- decay * average + (1 - decay) * weights      after each step
//
// The first update takes the weights as they are then. Buffers are not averaged: running statistics are the
// module's, whichever weights it has, as in torch.optim.swa_utils.AveragedModel. Trainers do all this
// themselves: TrainerOptions::ema.
#pragma once

#include <vector>

#include "core/files/safetensors.h"
#include "layers/module.h"

namespace lamina {

class WeightAverage {
 public:
  // Of the parameters that are not frozen. Throws UsageError unless 0 <= decay < 1.
  WeightAverage(const Module& module, double decay);

  void update();                                       // after a step of the optimizer
  bool started() const { return !averages_.empty(); }  // there has been an update

  void copy_to_module() const;  // which keeps them; nothing before the first update

  // In a file that holds the averages under the parameters' names, beside an optimizer's state: the module's
  // own weights, as `state.unaveraged.<parameter>`, once there are averages.
  void save_state(TensorFile& file) const;
  // The module has the averages of such a file, and then gets its own weights.
  void load_state(const TensorFile& file);

 private:
  friend class AveragedWeights;
  ParamList params_;
  std::vector<Tensor> averages_;
  double decay_;
};

// While alive, the module has the averages, unless there are none yet, or no `average`; then its own weights
// again. No step may be taken meanwhile.
class AveragedWeights {
 public:
  explicit AveragedWeights(const WeightAverage* average);
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  ParamList params_;
  std::vector<Tensor> own_;
};

}  // namespace lamina
