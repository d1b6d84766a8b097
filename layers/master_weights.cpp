#include "layers/master_weights.h"

#include <vector>

#include "core/autograd.h"
#include "core/ops/elementwise.h"

namespace lamina {
namespace {

thread_local const RoundedParameters* current_rounded = nullptr;

}  // namespace

Tensor as_used_with(const Tensor& x, const Tensor& parameter) {
  if (x.dtype() != DType::bf16) return parameter;
  const Tensor copy = current_rounded == nullptr ? Tensor() : current_rounded->copy_of(parameter);
  return copy.defined() ? copy : cast(parameter, DType::bf16);
}

RoundedParameters::RoundedParameters(const ParamList& parameters) : previous_(current_rounded) {
  std::vector<Tensor> masters;
  for (const auto& param : parameters)
    if (param->kind == ParamKind::weight || param->kind == ParamKind::bias) masters.push_back(param->value);
  const std::vector<Tensor> rounded = cast_all(masters, DType::bf16);
  for (std::size_t i = 0; i < masters.size(); ++i)
    copies_.try_emplace(masters[i].raw(), Copy{masters[i], masters[i].version(), rounded[i]});
  current_rounded = this;
}

RoundedParameters::~RoundedParameters() { current_rounded = previous_; }

Tensor RoundedParameters::copy_of(const Tensor& parameter) const {
  const auto found = copies_.find(parameter.raw());
  if (found == copies_.end()) return {};
  const auto& [master, version, rounded] = found->second;
  const bool same = master.shape() == parameter.shape() && master.version() == version &&
                    master.node() == parameter.node() && rounded.requires_grad() == records(parameter);
  return same ? rounded : Tensor();
}

}  // namespace lamina
