#include "train/replay.h"
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "optim/state.h"

namespace lamina::train {
namespace {

void check_floating(const TensorFile& file, const char* what) {
  check(!file.tensors.empty(), "replay: the file of {} holds no tensors", what);
  for (const auto& [name, tensor] : file.tensors) {
    check(is_floating(tensor.dtype()), "replay: {} among the {} is {}; expected floating point", name, what,
          tensor.str());
  }
}

void check_names(const TensorFile& file, const TensorFile& other, const char* lacking) {
  std::vector<std::string> missing;
  for (const auto& [name, tensor] : file.tensors) {
    if (!other.contains(name)) missing.push_back(name);
  }
  check(missing.empty(), "replay: no {} for {}; both files must hold the same names", lacking,
        fmt::join(missing, ", "));
}

// The number of recorded steps, which all tensors must agree on.
std::int64_t count_steps(const TensorFile& params, const TensorFile& grads) {
  const std::string& first = params.tensors.front().first;
  std::int64_t steps = 0;
  for (const auto& [name, value] : params.tensors) {
    const Shape& shape = value.shape();
    const Shape& recorded = grads.at(name).shape();
    check(recorded.rank() == shape.rank() + 1 && std::equal(shape.begin(), shape.end(), recorded.begin() + 1),
          "replay: {} has shape {}, its gradients {}; expected [steps, *shape]", name, shape.str(),
          recorded.str());
    if (name == first) steps = recorded[0];
    check(recorded[0] == steps, "replay: {} has gradients of {} steps, {} of {}; expected as many of each",
          name, recorded[0], first, steps);
  }
  check(steps > 0, "replay: the gradients are of no steps at all; expected [steps, *shape]");
  return steps;
}

DType common_dtype(const TensorFile& params) {
  const auto& [first, value] = params.tensors.front();
  for (const auto& [name, other] : params.tensors) {
    if (other.dtype() != value.dtype()) {
      fail_usage("replay: {} is {}, but {} is {}; say which to compute in with {} f32 or f64", first,
                 value.str(), name, other.str(), option_name("dtype"));
    }
  }
  return value.dtype();
}

template <typename T>
Tensor as(const Tensor& tensor) {
  return visit_floating(tensor.dtype(), "replay", [&](auto zero) {
    const auto values = tensor.to_vector<decltype(zero)>();
    return Tensor::from(std::vector<T>(values.begin(), values.end()), tensor.shape());
  });
}

Tensor converted(const Tensor& tensor, DType dtype) {
  return dtype == DType::f64 ? as<double>(tensor) : as<float>(tensor);
}

// After conversion, since a large f64 becomes infinite in f32.
void check_finite(const Tensor& tensor, const char* what, const std::string& name, const std::string& when) {
  visit_floating(tensor.dtype(), "replay", [&](auto zero) {
    const auto* x = tensor.data<decltype(zero)>();
    const auto* bad =
        std::find_if(x, x + tensor.elements(), [](auto value) { return !std::isfinite(value); });
    check(bad == x + tensor.elements(),
          "replay: {} {} {} is not finite: element {} of {} is {}; nothing was written", what, name, when,
          bad - x, tensor.str(), *bad);
  });
}

ParamList make_params(const TensorFile& file, DType dtype) {
  ParamList params;
  for (const auto& [name, tensor] : file.tensors) {
    const ParamKind kind = tensor.rank() >= 2       ? ParamKind::weight
                           : name.ends_with("bias") ? ParamKind::bias
                                                    : ParamKind::norm;
    params.push_back(std::make_shared<Param>(Param{name, kind, converted(tensor, dtype)}));
    check_finite(params.back()->value, "parameter", name, "before the first step");
  }
  return params;
}

void set_gradients(const ParamList& params, const TensorFile& grads, std::int64_t step) {
  for (const auto& param : params) {
    Tensor grad = param->grad();
    const Tensor recorded = grads.at(param->name).rows(step, 1).view(grad.shape());
    grad.copy_from(converted(recorded, grad.dtype()));
    check_finite(grad, "the gradient of", param->name, fmt::format("at step {}", step + 1));
  }
}

}  // namespace

Trajectory replay(const TensorFile& params_file, const TensorFile& grads, const ReplayOptions& options) {
  check_floating(params_file, "parameters");
  check_floating(grads, "gradients");
  check_names(params_file, grads, "gradients");
  check_names(grads, params_file, "parameter");
  const std::int64_t steps = count_steps(params_file, grads);
  const std::vector<double>& lrs = options.lrs;
  if (!lrs.empty() && static_cast<std::int64_t>(lrs.size()) != steps) {
    fail_usage("{}: {} learning rates for {} recorded steps; expected one for each", option_name("lrs"),
               lrs.size(), steps);
  }
  KnobOverrides overrides = options.overrides;
  if (!lrs.empty() && !overrides.lr) overrides.lr = *std::max_element(lrs.begin(), lrs.end());

  const ParamList params =
      make_params(params_file, options.dtype ? *options.dtype : common_dtype(params_file));
  Trajectory result{make_optimizer(resolve_optimizer(options.optimizer, overrides, options.facts), params),
                    {}};
  result.optimizer->set_tracing(true);
  for (std::int64_t step = 0; step < steps; ++step) {
    set_gradients(params, grads, step);
    if (!lrs.empty()) result.optimizer->set_lr(lrs[static_cast<std::size_t>(step)]);
    result.optimizer->step();
    result.steps.push_back(result.optimizer->report());
  }
  for (const auto& param : params) {
    check_finite(param->value, "parameter", param->name, fmt::format("after step {}", steps));
  }
  return result;
}

TensorFile to_file(const Trajectory& trajectory) {
  const Optimizer& optimizer = *trajectory.optimizer;
  TensorFile file;
  for (const Segment& segment : optimizer.segments()) {
    file.tensors.emplace_back(segment.name,
                              optimizer.arena().segment_of(optimizer.arena().values(), segment));
  }
  save_state(optimizer, file);
  const auto add = [&](const std::string& name, const auto& value) {
    std::vector<double> values;
    for (const StepReport& step : trajectory.steps) values.push_back(value(step));
    file.tensors.emplace_back(name, Tensor::from(values, {static_cast<std::int64_t>(values.size())}));
  };
  for (std::size_t i = 0; i < optimizer.segments().size(); ++i) {
    const std::string& name = optimizer.segments()[i].name;
    add("trust." + name, [i](const StepReport& step) { return step.layers[i].trust; });
    add("weight_norm." + name, [i](const StepReport& step) { return step.layers[i].weight_norm; });
    add("grad_norm." + name, [i](const StepReport& step) { return step.layers[i].grad_norm; });
    add("update_norm." + name, [i](const StepReport& step) { return step.layers[i].update_norm; });
  }
  add("lr", [](const StepReport& step) { return step.lr; });
  add("phi", [](const StepReport& step) { return step.phi; });
  return file;
}

}  // namespace lamina::train
