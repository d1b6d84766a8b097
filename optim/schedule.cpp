#include "optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace lamina {

namespace {

constexpr std::array kind_names{"constant", "cosine", "poly", "step"};
constexpr std::array scaling_names{"none", "linear", "sqrt"};

template <typename Enum, std::size_t count>
Enum parse(std::string_view what, std::string_view name, const std::array<const char*, count>& names) {
  for (std::size_t i = 0; i < count; ++i)
    if (name == names[i]) return static_cast<Enum>(i);
  fail_usage("{} '{}' does not exist; valid: {}", what, name, fmt::join(names, ", "));
}

double scaled(const ScheduleOptions& o, double lr) {
  const double ratio = static_cast<double>(o.batch) / static_cast<double>(o.base_batch);
  switch (o.scaling) {
    case LrScaling::none:
      return lr;
    case LrScaling::linear:
      return lr * ratio;
    case LrScaling::sqrt:
      return lr * std::sqrt(ratio);
  }
  return lr;
}

void check_option(bool ok, const char* what, double value, const char* expected) {
  if (!ok) fail_usage("schedule: {} is {}; expected {}", what, value, expected);
}

void check_options(const ScheduleOptions& o) {
  const double lr = o.lr.value_or(0);
  check_option(lr >= 0 && std::isfinite(lr), "lr", lr, "a finite number of at least 0");
  check_option(o.batch >= 1, "batch", static_cast<double>(o.batch), "at least 1");
  check_option(o.base_batch >= 1, "base_batch", static_cast<double>(o.base_batch), "at least 1");
  check_option(o.epochs > 0 && std::isfinite(o.epochs), "epochs", o.epochs, "more than 0");
  check_option(o.steps_per_epoch >= 1, "steps_per_epoch", static_cast<double>(o.steps_per_epoch),
               "at least 1");
  check_option(o.warmup_epochs >= 0 && o.warmup_epochs <= o.epochs, "warmup_epochs", o.warmup_epochs,
               "between 0 and the number of epochs");
  check_option(o.warmup_start >= 0 && o.warmup_start <= 1, "warmup_start", o.warmup_start,
               "a share of the peak between 0 and 1");
  check_option(o.end >= 0 && o.end <= 1, "end", o.end, "a share of the peak between 0 and 1");
  check_option(o.power > 0 && std::isfinite(o.power), "power", o.power, "more than 0");
  check_option(o.factor > 0 && std::isfinite(o.factor), "factor", o.factor, "more than 0");
  check_option(o.kind != ScheduleOptions::Kind::step || !o.milestones.empty(), "the number of milestones", 0,
               "at least one epoch for the schedule 'step'");
  for (const double milestone : o.milestones)
    check_option(milestone >= 0 && std::isfinite(milestone), "a milestone", milestone,
                 "a finite number of epochs, at least 0");
  check_option(std::is_sorted(o.milestones.begin(), o.milestones.end()), "the first milestone",
               o.milestones.empty() ? 0 : o.milestones.front(), "rising milestones");
}

}  // namespace

Schedule::Schedule(ScheduleOptions options) : options_(std::move(options)) {
  check_options(options_);
  const auto steps_per_epoch = static_cast<double>(options_.steps_per_epoch);
  if (options_.lr) peak_ = scaled(options_, *options_.lr);
  warmup_ = options_.warmup_epochs * steps_per_epoch;
  total_ = std::max<std::int64_t>(1, std::llround(options_.epochs * steps_per_epoch));
}

Schedule Schedule::with_lr(double lr) const {
  ScheduleOptions options = options_;
  options.lr = lr;
  return Schedule(std::move(options));
}

double Schedule::peak() const {
  if (!options_.lr) fail_usage("schedule: it has no lr; give it one, or give it to an optimizer first");
  return peak_;
}

double Schedule::lr(std::int64_t step) const {
  const ScheduleOptions& o = options_;
  const double peak = this->peak();
  const auto t = static_cast<double>(step), total = static_cast<double>(total_);
  if (t < warmup_) return peak * (o.warmup_start + (1 - o.warmup_start) * t / warmup_);

  const double x = total > warmup_ ? std::clamp((t - warmup_) / (total - warmup_), 0.0, 1.0) : 1;
  const double end = o.end * peak;
  switch (o.kind) {
    case ScheduleOptions::Kind::constant:
      return peak;
    case ScheduleOptions::Kind::cosine:
      return end + (peak - end) * (1 + std::cos(std::numbers::pi * x)) / 2;
    case ScheduleOptions::Kind::poly:
      return end + (peak - end) * std::pow(1 - x, o.power);
    case ScheduleOptions::Kind::step: {
      const double epoch = t / static_cast<double>(o.steps_per_epoch);
      const auto passed = std::upper_bound(o.milestones.begin(), o.milestones.end(), epoch);
      return peak * std::pow(o.factor, static_cast<double>(passed - o.milestones.begin()));
    }
  }
  return peak;
}

std::string Schedule::str() const {
  const ScheduleOptions& o = options_;
  std::string text = kind_names[static_cast<std::size_t>(o.kind)];
  if (o.kind == ScheduleOptions::Kind::poly) text += fmt::format(" (power {})", o.power);
  if (o.kind == ScheduleOptions::Kind::step)
    text += fmt::format(" (times {} at epochs {})", o.factor, fmt::join(o.milestones, ", "));
  text += fmt::format(", peak lr {:.6g}", peak());
  if (o.scaling != LrScaling::none)
    text += fmt::format(" ({:.6g} scaled {} from batch {} to {})", *o.lr,
                        o.scaling == LrScaling::linear ? "linearly" : "by the square root", o.base_batch,
                        o.batch);
  if (o.kind == ScheduleOptions::Kind::cosine || o.kind == ScheduleOptions::Kind::poly)
    text += fmt::format(" to {:.6g}", o.end * peak_);
  if (warmup_ > 0) text += fmt::format(", linear warm-up over {:.6g} steps from {:.6g}", warmup_, lr(0));
  return text + fmt::format(", {} steps", total_);
}

std::string Schedule::csv(int rows) const {
  std::string text = "step,epoch,lr\n";
  const std::int64_t count = std::clamp<std::int64_t>(rows, 1, total_);
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t step = count == 1 ? 0 : row * (total_ - 1) / (count - 1);
    const double epoch = static_cast<double>(step) / static_cast<double>(options_.steps_per_epoch);
    text += fmt::format("{},{:.6g},{:.9g}\n", step, epoch, lr(step));
  }
  return text;
}

ScheduleOptions::Kind parse_schedule(std::string_view name) {
  return parse<ScheduleOptions::Kind>("schedule", name, kind_names);
}

LrScaling parse_lr_scaling(std::string_view name) {
  return parse<LrScaling>("lr scaling", name, scaling_names);
}

}  // namespace lamina
