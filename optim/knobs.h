// Knobs by name: the one table that the command line, presets, config.json and help read and write options
// through. A knob is visit(name, member, meaning).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "optim/options.h"

namespace lamina {

// Names of enumerators, in their order.
constexpr std::array<const char*, 4> names_of(AppliesTo) { return {"none", "weights", "all", "decayed"}; }
constexpr std::array<const char*, 2> names_of(MomentumLr) { return {"outside", "inside"}; }
constexpr std::array<const char*, 2> names_of(DecayScale) { return {"lr", "schedule"}; }
constexpr std::array<const char*, 3> names_of(ZeroNorm) { return {"one", "one_without_decay", "raw"}; }
constexpr std::array<const char*, 4> names_of(Denominator) {
  return {"split", "joint", "grad_only", "after_momentum"};
}
constexpr std::array<const char*, 2> names_of(TimeUnit) { return {"steps", "epochs"}; }
constexpr std::array<const char*, 2> names_of(PhiForm) { return {"logistic", "exponential"}; }
constexpr std::array<const char*, 3> names_of(BiasCorrection) { return {"moments", "none", "step_size"}; }
constexpr std::array<const char*, 2> names_of(EpsMode) { return {"outside", "inside"}; }
constexpr std::array<const char*, 3> names_of(DecayMode) { return {"in_update", "l2", "decoupled"}; }

template <typename Visit>
void visit_knobs(RatioOptions& o, const Visit& visit) {
  visit("ratio_eps", o.eps, "added to the denominator of the trust ratio");
  visit("weight_norm_min", o.weight_norm_min, "||w|| in the trust ratio is at least this");
  visit("weight_norm_max", o.weight_norm_max, "||w|| in the trust ratio is at most this");
  visit("update_norm_max", o.update_norm_max, "the denominator of the trust ratio is at most this");
  visit("ratio_min", o.ratio_min, "the trust ratio is at least this");
  visit("ratio_max", o.ratio_max, "the trust ratio is at most this");
  visit("zero_norm", o.zero_norm,
        "a tensor with zero weights or gradient: ratio one, one_without_decay, or raw");
}

template <typename Visit>
void visit_knobs(LarsForm& o, const Visit& visit) {
  visit(
      "denominator", o.denominator,
      "of the trust ratio: split ||g|| + b ||w||, joint ||g + b w||, grad_only ||g||, after_momentum ||v||");
  visit("momentum_lr", o.momentum_lr, "v collects gradients (outside) or gradients times lr (inside)");
  visit("nesterov", o.nesterov, "step along momentum * v + d instead of v");
  visit("dampening", o.dampening, "v <- momentum * v + (1 - dampening) * d");
  visit("larc_clip", o.larc_clip, "trust ratio <- min(ratio / lr, 1)");
  visit_knobs(o.ratio, visit);
}

template <typename Visit>
void visit_decay(Groups& o, const Visit& visit) {
  visit("decay", o.decay, "parameters that decay: none, weights or all");
}

template <typename Visit>
void visit_knobs(Groups& o, const Visit& visit) {
  visit_decay(o, visit);
  visit("adapt", o.adapt,
        "parameters with a trust ratio: none, weights, all, or decayed (weight decay not 0)");
  visit("excluded_lr_scale", o.excluded_lr_scale, "share of lr for parameters without a trust ratio");
}

template <typename Options, typename Visit>
void visit_clipping(Options& o, const Visit& visit) {
  visit("max_grad_norm", o.max_grad_norm,
        "the gradient of the whole model is scaled down to this norm; 0: never");
}

template <typename Visit>
void visit_knobs(SgdOptions& o, const Visit& visit) {
  visit("lr", o.lr, "learning rate");
  visit("momentum", o.momentum, "share of v kept in a step");
  visit("weight_decay", o.weight_decay, "b: b * w is added to the gradient");
  visit("nesterov", o.nesterov, "step along momentum * v + d instead of v");
  visit("dampening", o.dampening, "v <- momentum * v + (1 - dampening) * d");
  visit("momentum_lr", o.momentum_lr, "v collects gradients (outside) or gradients times lr (inside)");
  visit_clipping(o, visit);
  visit_decay(o.groups, visit);
}

template <typename Visit>
void visit_knobs(AdamWOptions& o, const Visit& visit) {
  visit("lr", o.lr, "learning rate");
  visit("beta1", o.beta1, "share of the first moment kept in a step");
  visit("beta2", o.beta2, "share of the second moment kept in a step");
  visit("eps", o.eps, "added to the root of the second moment");
  visit("weight_decay", o.weight_decay, "b: w <- (1 - s * b) w, with s from decay_scale");
  visit("decay_scale", o.decay_scale, "multiplies weight_decay: lr, or schedule (lr / peak lr)");
  visit_clipping(o, visit);
  visit_decay(o.groups, visit);
}

template <typename Visit>
void visit_knobs(LarsOptions& o, const Visit& visit) {
  visit("lr", o.lr, "global learning rate");
  visit("momentum", o.momentum, "share of v kept in a step");
  visit("weight_decay", o.weight_decay, "b");
  visit("trust_coefficient", o.trust_coefficient, "eta, multiplies the trust ratio");
  visit_clipping(o, visit);
  visit_knobs(o.form, visit);
  visit_knobs(o.groups, visit);
}

template <typename Visit>
void visit_knobs(TvLarsOptions& o, const Visit& visit) {
  visit("lr", o.lr, "gamma_target, the global learning rate");
  visit("momentum", o.momentum, "share of v kept in a step");
  visit("weight_decay", o.weight_decay, "b");
  visit("lambda", o.lambda, "how fast phi falls, per unit of t");
  visit("delay_epochs", o.delay_epochs, "d_e, where phi has fallen half-way");
  visit("steps_per_epoch", o.steps_per_epoch, "converts epochs to steps; known to a training run");
  visit("alpha", o.alpha, "phi stays below 1 / alpha + gamma_min");
  visit("gamma_min", o.gamma_min, "floor of phi; may refer to the batch: 0.001*B/B_base");
  visit("time_unit", o.time_unit, "of t: steps or epochs");
  visit("first_time", o.first_time, "t of the first step: 0 or 1");
  visit("hard_delay_epochs", o.hard_delay_epochs, "phi is 1 in these first epochs");
  visit("phi_form", o.phi_form, "logistic 1 / (alpha + exp(z)), or exponential exp(-z)");
  visit("trust_coefficient", o.trust_coefficient, "eta, multiplies the trust ratio");
  visit_clipping(o, visit);
  visit_knobs(o.form, visit);
  visit_knobs(o.groups, visit);
}

template <typename Visit>
void visit_knobs(LambOptions& o, const Visit& visit) {
  visit("lr", o.lr, "learning rate");
  visit("beta1", o.beta1, "share of the first moment kept in a step");
  visit("beta2", o.beta2, "share of the second moment kept in a step");
  visit("eps", o.eps, "added to the root of the second moment");
  visit("weight_decay", o.weight_decay, "b");
  visit_clipping(o, visit);
  visit("bias_correction", o.bias_correction, "1 - beta^t in the moments, none, or in the step_size");
  visit("eps_mode", o.eps_mode, "outside sqrt(v) + eps, or inside sqrt(v + eps)");
  visit("decay_mode", o.decay_mode, "in_update u = r + b w, l2 g + b w, or decoupled w <- (1 - lr b) w");
  visit("grad_averaging", o.grad_averaging, "m <- beta1 m + (1 - beta1) g; false: + g");
  visit("use_trust_ratio", o.use_trust_ratio, "false: the trust ratio is 1");
  visit_knobs(o.ratio, visit);
  visit_knobs(o.groups, visit);
}

// Throw UsageError for values out of range and knobs that contradict each other.
void check_options(const SgdOptions& o);
void check_options(const AdamWOptions& o);
void check_options(const LarsOptions& o);
void check_options(const TvLarsOptions& o);
void check_options(const LambOptions& o);

// Options of a rule that has no table of knobs pass unchecked.
template <typename Options>
const Options& checked(const Options& options) {
  if constexpr (requires { check_options(options); }) check_options(options);
  return options;
}

inline std::string knob_text(bool value) { return value ? "true" : "false"; }
inline std::string knob_text(double value) { return fmt::format("{}", value); }  // shortest that reads back
inline std::string knob_text(std::int64_t value) { return fmt::format("{}", value); }
template <typename Enum>
std::string knob_text(Enum value) {
  return names_of(value)[static_cast<std::size_t>(value)];
}

// Every knob, but for a max_grad_norm of 0 where it is not LAMB's: runs of version 0.1.0, which did not have
// it, are told from others by this list.
template <typename Options>
std::vector<std::pair<std::string, std::string>> knob_values(Options options) {
  std::vector<std::pair<std::string, std::string>> values;
  if constexpr (requires { check_options(options); })
    visit_knobs(options, [&](const char* name, auto& member, const char*) {
      if constexpr (requires { options.max_grad_norm; } && !std::is_same_v<Options, LambOptions>)
        if (static_cast<const void*>(&member) == &options.max_grad_norm && options.max_grad_norm == 0) return;
      values.emplace_back(name, knob_text(member));
    });
  return values;
}

// And the groups by name, where there are some.
template <typename Options>
std::vector<std::pair<std::string, std::string>> all_knobs(const Options& options) {
  auto knobs = knob_values(options);
  if (!options.groups.rules.empty()) knobs.emplace_back("groups", group_rules_text(options.groups));
  return knobs;
}

}  // namespace lamina
