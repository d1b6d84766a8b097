#include "optim/arena.h"

#include <algorithm>
#include <set>

#include "core/base/rounding.h"

namespace lamina {

namespace {

constexpr std::int64_t alignment = 64;  // bytes: a cache line, and the widest vector

std::int64_t aligned(std::int64_t elements, DType dtype) {
  const auto unit = alignment / static_cast<std::int64_t>(size_of(dtype));
  return round_up(elements, unit);
}

ParamList trainable(const ParamList& params) {
  ParamList list;
  for (const auto& param : params)
    if (param->trainable()) list.push_back(param);
  if (list.empty()) {
    const auto frozen = std::count_if(params.begin(), params.end(), [](const auto& p) { return p->frozen; });
    fail_usage(
        "optimizer: no trainable parameter among {} given, of which {} are frozen; pass a module's "
        "parameters(), and leave something to train",
        params.size(), frozen);
  }
  return list;
}

void check_alike(const ParamList& params) {
  const Param& first = *params.front();
  std::set<const Param*> seen;
  std::set<std::string> names;
  for (const auto& param : params) {
    check(seen.insert(param.get()).second, "optimizer: parameter {} is in the list twice", param->name);
    check(names.insert(param->name).second,
          "optimizer: two parameters are named {}; names must differ, since state is saved by name",
          param->name);
    check(param->value.defined(), "optimizer: parameter {} holds no value", param->name);
    const DType dtype = param->value.dtype();
    check(dtype == DType::f32 || dtype == DType::f64, "optimizer: parameter {} is {}; expected f32 or f64",
          param->name, name_of(dtype));
    check(dtype == first.value.dtype() && param->value.device() == first.value.device(),
          "optimizer: parameter {} is {}, but {} is {}; all must have one dtype and device", param->name,
          param->value.str(), first.name, first.value.str());
  }
}

}  // namespace

Arena::Arena(const ParamList& params, const std::vector<std::string>& slot_names)
    : params_(trainable(params)), slot_names_(slot_names) {
  check_alike(params_);
  std::copy_if(params.begin(), params.end(), std::back_inserter(frozen_),
               [](const auto& param) { return param->frozen; });
  const TensorOptions options = params_.front()->value.options();
  std::int64_t offset = 0;
  for (const auto& param : params_) {
    const std::int64_t elements = param->value.elements();
    segments_.push_back({param->name, param->kind, offset, elements, param->value.shape()});
    offset += aligned(elements, options.dtype);
  }
  values_ = Tensor::zeros({offset}, options);
  grads_ = Tensor::zeros({offset}, options);
  for (std::size_t i = 0; i < slot_names_.size(); ++i) slots_.push_back(Tensor::zeros({offset}, options));

  for (std::size_t i = 0; i < params_.size(); ++i) {
    Tensor value = segment_of(values_, segments_[i]);
    value.copy_from(params_[i]->value.detach());
    value.requires_grad_().bind_grad(segment_of(grads_, segments_[i]));
    params_[i]->value = value;
  }
}

Tensor Arena::segment_of(const Tensor& flat, const Segment& segment) const {
  return flat.flat(segment.offset, segment.shape);
}

void Arena::check_bound() const {
  for (const auto& param : frozen_) {
    check(param->frozen,
          "optimizer: parameter {} was frozen when this optimizer was made, and no longer is; make a new one",
          param->name);
  }
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Tensor& value = params_[i]->value;
    check(!params_[i]->frozen,
          "optimizer: parameter {} was frozen after this optimizer was made; freeze first, then make one",
          segments_[i].name);
    check(value.requires_grad() && value.shares_storage(values_) && value.grad().defined() &&
              value.grad().shares_storage(grads_),
          "optimizer: parameter {} no longer lies in this optimizer's memory: a later optimizer took it "
          "over, or its value was replaced; keep one optimizer for a model, and load weights with copy_from",
          segments_[i].name);
  }
}

}  // namespace lamina
