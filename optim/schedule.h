// Learning-rate schedules: a pure function of the step, in double, with linear warm-up and batch-size
// scaling.
//
// With W warm-up and T total steps, peak learning rate G (after scaling) and step t = 0, 1, ...:
//   t < W     lr = G * (w0 + (1 - w0) * t / W),  w0 = warmup_start (0: the first step moves nothing)
//   constant  lr = G
//   cosine    lr = E + (G - E) * (1 + cos(pi * x)) / 2,  x = (t - W) / (T - W)   Loshchilov & Hutter 2017
//   poly      lr = E + (G - E) * (1 - x)^power                                   You et al. 2017 (power 2)
//   step      lr = G * factor^(number of milestones <= t's epoch)                Goyal et al. 2017
// where E = end * G. Beyond T the value at x = 1 holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

enum class LrScaling { none, linear, sqrt };

struct ScheduleOptions {
  enum class Kind { constant, cosine, poly, step };
  Kind kind = Kind::constant;
  std::optional<double> lr = {};  // at the base batch; unset: that of the optimizer it is given to
  LrScaling scaling = LrScaling::none;
  std::int64_t batch = 256;  // linear: lr * batch / base_batch; sqrt: lr * sqrt(batch / base_batch)
  std::int64_t base_batch = 256;
  double epochs = 1;
  std::int64_t steps_per_epoch = 1;
  double warmup_epochs = 0;
  double warmup_start = 0;              // share of the peak
  double end = 0;                       // share of the peak; cosine and poly
  double power = 2;                     // poly
  std::vector<double> milestones = {};  // epochs, rising; step
  double factor = 0.1;                  // step
};

class Schedule {
 public:
  explicit Schedule(ScheduleOptions options);  // throws UsageError naming the option that makes no sense

  double lr(std::int64_t step) const;  // steps count from 0; UsageError while there is no lr
  double peak() const;                 // the same
  std::int64_t steps() const { return total_; }
  const ScheduleOptions& options() const { return options_; }
  Schedule with_lr(double lr) const;

  std::string str() const;                // one line for the log
  std::string csv(int rows = 200) const;  // "step,epoch,lr" lines: a preview for plotting

 private:
  ScheduleOptions options_;
  double peak_ = 0;
  double warmup_ = 0;  // steps, may be fractional
  std::int64_t total_ = 1;
};

// Names as on the command line; throw UsageError listing the valid ones.
ScheduleOptions::Kind parse_schedule(std::string_view name);
LrScaling parse_lr_scaling(std::string_view name);

}  // namespace lamina
