// Learning-rate schedules: values at the edges and against formulas written out here.
#include <cmath>

#include "catch.h"
#include "core/base/error.h"
#include "optim/schedule.h"
#include "optim_common.h"

namespace lamina {
namespace {

using Kind = ScheduleOptions::Kind;
using Catch::Matchers::Contains;

// Doubles computed in two ways: a few roundings of 1e-16.
bool close(double a, double b) { return std::abs(a - b) <= 1e-14 * std::max(std::abs(a), std::abs(b)); }

TEST_CASE("constant") {
  const Schedule schedule({.lr = 0.25, .epochs = 2, .steps_per_epoch = 10});
  CHECK(schedule.steps() == 20);
  for (const std::int64_t step : {0, 7, 19, 20, 1000}) CHECK(schedule.lr(step) == 0.25);
}

TEST_CASE("linear warm-up starts at zero and reaches the peak after its last step") {
  const Schedule schedule({.lr = 2, .epochs = 10, .steps_per_epoch = 4, .warmup_epochs = 2});
  CHECK(schedule.lr(0) == 0);
  CHECK(schedule.lr(1) == 0.25);
  CHECK(schedule.lr(7) == 1.75);
  CHECK(schedule.lr(8) == 2);
  const Schedule gradual(
      {.lr = 2, .epochs = 10, .steps_per_epoch = 4, .warmup_epochs = 1, .warmup_start = 0.5});
  CHECK(gradual.lr(0) == 1);
  CHECK(gradual.lr(2) == 1.5);
  const Schedule fractional({.lr = 1, .epochs = 10, .steps_per_epoch = 5, .warmup_epochs = 0.3});
  CHECK(close(fractional.lr(1), 1 / 1.5));
  CHECK(fractional.lr(2) == 1);
}

TEST_CASE("cosine falls from the peak to the end, after warm-up") {
  const Schedule schedule(
      {.kind = Kind::cosine, .lr = 1, .epochs = 10, .steps_per_epoch = 10, .warmup_epochs = 2, .end = 0.001});
  CHECK(schedule.lr(20) == 1);
  CHECK(close(schedule.lr(60), 0.001 + 0.999 * 0.5));
  CHECK(close(schedule.lr(100), 0.001));
  CHECK(close(schedule.lr(5000), 0.001));
  // Barlow Twins: q = (1 + cos(pi (step - W) / (T - W))) / 2, lr = base (q + 0.001 (1 - q))
  for (std::int64_t step = 20; step < 100; ++step) {
    const double q = 0.5 * (1 + std::cos(3.14159265358979323846 * static_cast<double>(step - 20) / 80));
    CHECK(close(schedule.lr(step), q + 0.001 * (1 - q)));
  }
}

TEST_CASE("polynomial of LARS: gamma_0 (1 - t / T)^2") {
  const Schedule schedule({.kind = Kind::poly, .lr = 4, .epochs = 5, .steps_per_epoch = 20, .power = 2});
  CHECK(schedule.lr(0) == 4);
  CHECK(close(schedule.lr(25), 4 * 0.75 * 0.75));
  CHECK(schedule.lr(100) == 0);
}

TEST_CASE("steps divide at the first step of a milestone's epoch") {
  const Schedule schedule({.kind = Kind::step,
                           .lr = 1,
                           .epochs = 90,
                           .steps_per_epoch = 7,
                           .milestones = {30, 60, 80},
                           .factor = 0.1});
  CHECK(schedule.lr(30 * 7 - 1) == 1);
  CHECK(close(schedule.lr(30 * 7), 0.1));
  CHECK(close(schedule.lr(60 * 7), 0.01));
  CHECK(close(schedule.lr(89 * 7), 0.001));
}

TEST_CASE("batch scaling") {
  const ScheduleOptions base{.lr = 0.1, .batch = 4096, .base_batch = 256};
  ScheduleOptions linear = base, root = base;
  linear.scaling = LrScaling::linear;
  root.scaling = LrScaling::sqrt;
  CHECK(Schedule(base).peak() == 0.1);
  CHECK(close(Schedule(linear).peak(), 1.6));
  CHECK(close(Schedule(root).peak(), 0.4));
}

TEST_CASE("text, preview and errors of schedules") {
  const Schedule schedule({.kind = Kind::cosine,
                           .lr = 0.1,
                           .scaling = LrScaling::linear,
                           .batch = 1024,
                           .epochs = 10,
                           .steps_per_epoch = 49,
                           .warmup_epochs = 2});
  CHECK(schedule.str() ==
        "cosine, peak lr 0.4 (0.1 scaled linearly from batch 256 to 1024) to 0, linear warm-up over 98 steps "
        "from 0, "
        "490 steps");
  CHECK(schedule.csv(2) == "step,epoch,lr\n0,0,0\n489,9.97959,6.42281313e-06\n");
  CHECK_THROWS_WITH(parse_schedule("cosin"), Contains("'cosin'") && Contains("constant, cosine, poly, step"));
  CHECK_THROWS_WITH(parse_lr_scaling("log"), Contains("none, linear, sqrt"));
  CHECK(parse_schedule("poly") == Kind::poly);
  CHECK(parse_lr_scaling("sqrt") == LrScaling::sqrt);
  CHECK_THROWS_AS(Schedule({.lr = -1}), UsageError);
  CHECK_THROWS_WITH(Schedule({.epochs = 2, .warmup_epochs = 3}), Contains("warmup_epochs is 3"));
  CHECK_THROWS_WITH(Schedule({.kind = Kind::step}), Contains("milestones"));
}

}  // namespace
TEST_CASE("a schedule without a learning rate takes the optimizer's") {
  const Schedule schedule({.kind = Kind::cosine, .scaling = LrScaling::linear, .batch = 512, .epochs = 4});
  CHECK_THROWS_AS(schedule.lr(0), UsageError);
  CHECK_THROWS_AS(schedule.peak(), UsageError);
  CHECK_THROWS_AS(schedule.str(), UsageError);
  Sgd optimizer(testing::model<float>(), {.lr = 5});
  optimizer.set_schedule(schedule);
  CHECK(optimizer.lr() == 10);
  CHECK(optimizer.schedule()->options().lr == 5);
  optimizer.set_schedule(Schedule({.lr = 0.25, .epochs = 4}));
  CHECK(optimizer.lr() == 0.25);
  CHECK(schedule.with_lr(3).peak() == 6);
}

}  // namespace lamina
