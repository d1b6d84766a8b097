#include "optim/knobs.h"

#include <algorithm>
#include <cmath>

namespace lamina {

namespace {

void expect(bool ok, const char* knob, double value, const char* expected) {
  if (!ok) fail_usage("optimizer: {} is {}; expected {}", knob, value, expected);
}

void at_least_zero(const char* knob, double value) {
  expect(value >= 0 && std::isfinite(value), knob, value, "a finite number of at least 0");
}

void share(const char* knob, double value) {
  expect(value >= 0 && value < 1, knob, value, "at least 0 and less than 1");
}

void check_momentum(double momentum, bool nesterov, double dampening) {
  share("momentum", momentum);
  share("dampening", dampening);
  if (nesterov && (momentum == 0 || dampening != 0))
    fail_usage("optimizer: nesterov=true needs momentum above 0 and dampening 0; they are {} and {}",
               momentum, dampening);
}

void check_ratio(const RatioOptions& o) {
  at_least_zero("ratio_eps", o.eps);
  at_least_zero("weight_norm_min", o.weight_norm_min);
  at_least_zero("ratio_min", o.ratio_min);
  expect(o.weight_norm_max >= o.weight_norm_min, "weight_norm_max", o.weight_norm_max,
         "at least weight_norm_min");
  expect(o.ratio_max >= o.ratio_min, "ratio_max", o.ratio_max, "at least ratio_min");
  expect(o.update_norm_max > 0, "update_norm_max", o.update_norm_max, "more than 0");
}

void check_groups(const Groups& o, double weight_decay) {
  at_least_zero("excluded_lr_scale", o.excluded_lr_scale);
  if (o.decay == AppliesTo::decayed)
    fail_usage("optimizer: decay=decayed is circular; expected none, weights or all");
  const bool a_rule_decays = std::any_of(o.rules.begin(), o.rules.end(), [](const GroupRule& rule) {
    return rule.weight_decay.value_or(0) > 0;
  });
  if (o.adapt == AppliesTo::decayed && !a_rule_decays && (weight_decay == 0 || o.decay == AppliesTo::none))
    fail_usage(
        "optimizer: adapt=decayed with nothing that decays would leave no layer with a trust ratio; give a "
        "weight_decay, or set adapt=weights or adapt=all");
}

void check_moments(double beta1, double beta2, double eps) {
  share("beta1", beta1);
  share("beta2", beta2);
  at_least_zero("eps", eps);
}

void check_form(const LarsForm& o, double momentum) {
  check_momentum(momentum, o.nesterov, o.dampening);
  check_ratio(o.ratio);
  if (o.denominator == Denominator::after_momentum && o.momentum_lr == MomentumLr::inside)
    fail_usage(
        "optimizer: denominator=after_momentum divides by the norm of v, so v must not hold learning rates; "
        "set momentum_lr=outside");
}

}  // namespace

void check_options(const SgdOptions& o) {
  at_least_zero("lr", o.lr);
  at_least_zero("weight_decay", o.weight_decay);
  at_least_zero("max_grad_norm", o.max_grad_norm);
  check_momentum(o.momentum, o.nesterov, o.dampening);
  check_groups(o.groups, o.weight_decay);
}

void check_options(const AdamWOptions& o) {
  at_least_zero("lr", o.lr);
  at_least_zero("weight_decay", o.weight_decay);
  at_least_zero("max_grad_norm", o.max_grad_norm);
  check_moments(o.beta1, o.beta2, o.eps);
  check_groups(o.groups, o.weight_decay);
}

void check_options(const LarsOptions& o) {
  at_least_zero("lr", o.lr);
  at_least_zero("weight_decay", o.weight_decay);
  at_least_zero("max_grad_norm", o.max_grad_norm);
  at_least_zero("trust_coefficient", o.trust_coefficient);
  check_form(o.form, o.momentum);
  check_groups(o.groups, o.weight_decay);
}

void check_options(const TvLarsOptions& o) {
  check_options(LarsOptions{.lr = o.lr,
                            .momentum = o.momentum,
                            .weight_decay = o.weight_decay,
                            .trust_coefficient = o.trust_coefficient,
                            .max_grad_norm = o.max_grad_norm,
                            .form = o.form,
                            .groups = o.groups});
  at_least_zero("lambda", o.lambda);
  at_least_zero("delay_epochs", o.delay_epochs);
  at_least_zero("hard_delay_epochs", o.hard_delay_epochs);
  at_least_zero("alpha", o.alpha);
  at_least_zero("gamma_min", o.gamma_min);
  expect(o.first_time == 0 || o.first_time == 1, "first_time", static_cast<double>(o.first_time), "0 or 1");
  const bool counts_epochs = o.delay_epochs > 0 || o.hard_delay_epochs > 0 || o.time_unit == TimeUnit::epochs;
  if (counts_epochs && o.steps_per_epoch < 1)
    fail_usage(
        "tvlars: delays and times in epochs need steps_per_epoch, which is {}; give it, or set "
        "delay_epochs=0 and time_unit=steps",
        o.steps_per_epoch);
}

void check_options(const LambOptions& o) {
  at_least_zero("lr", o.lr);
  at_least_zero("weight_decay", o.weight_decay);
  at_least_zero("max_grad_norm", o.max_grad_norm);
  check_moments(o.beta1, o.beta2, o.eps);
  check_ratio(o.ratio);
  if (o.ratio.zero_norm == ZeroNorm::one_without_decay)
    fail_usage(
        "lamb: zero_norm=one_without_decay is for LARS; LAMB's decay is part of the update whose norm it "
        "takes. Set zero_norm to one or raw");
  if (!o.use_trust_ratio && (o.ratio.ratio_min > 0 || o.ratio.ratio_max < unbounded))
    fail_usage(
        "lamb: use_trust_ratio=false leaves no ratio for ratio_min={} and ratio_max={} to bound; drop one or "
        "the other",
        o.ratio.ratio_min, o.ratio.ratio_max);
  check_groups(o.groups, o.weight_decay);
}

}  // namespace lamina
