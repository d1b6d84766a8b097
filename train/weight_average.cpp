#include "train/weight_average.h"

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"

namespace lamina {
namespace {

std::string own_key(const Param& param) { return "state.unaveraged." + param.name; }

std::vector<Tensor> copies_of(const ParamList& params) {
  std::vector<Tensor> copies;
  for (const auto& param : params) copies.push_back(param->value.detach().clone());
  return copies;
}

void set_values(const ParamList& params, const std::vector<Tensor>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) params[i]->value.copy_from(values[i]);
}

}  // namespace

WeightAverage::WeightAverage(const Module& module, double decay)
    : params_(module.parameters()), decay_(decay) {
  if (!(decay >= 0 && decay < 1))
    fail_usage("{} {}: the decay of an average of weights; expected at least 0 and less than 1",
               option_name("ema"), decay);
  std::erase_if(params_, [](const auto& param) { return param->frozen; });
}

void WeightAverage::update() {
  if (!started()) {
    averages_ = copies_of(params_);
    return;
  }
  const NoGrad no_grad;
  for (std::size_t i = 0; i < params_.size(); ++i)
    averages_[i] = decay_ * averages_[i] + (1 - decay_) * params_[i]->value.detach();
}

void WeightAverage::copy_to_module() const { set_values(params_, averages_); }

void WeightAverage::save_state(TensorFile& file) const {
  if (!started()) return;
  for (const auto& param : params_)
    file.tensors.emplace_back(own_key(*param), param->value.detach().to(Device::cpu()).clone());
}

void WeightAverage::load_state(const TensorFile& file) {
  averages_.clear();
  if (params_.empty() || !file.contains(own_key(*params_.front()))) return;
  averages_ = copies_of(params_);
  for (const auto& param : params_) param->value.copy_from(file.at(own_key(*param)));
}

AveragedWeights::AveragedWeights(const WeightAverage* average) {
  if (average == nullptr || !average->started()) return;
  own_ = copies_of(average->params_);
  params_ = average->params_;
  average->copy_to_module();
}

AveragedWeights::~AveragedWeights() { set_values(params_, own_); }

}  // namespace lamina
