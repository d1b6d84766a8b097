// The learning-rate range test.
#include <cmath>

#include "catch.h"
#include "message_of.h"
#include "optim/state.h"
#include "tiny_training.h"
#include "train/find_lr.h"

namespace lamina::tests {

TEST_CASE("the learning rate grows exponentially until the loss explodes, and all is put back") {
  TinyParts parts({.optimizer = "sgd", .lr = 0.25});
  parts.optimizer->set_schedule(Schedule({.kind = ScheduleOptions::Kind::cosine, .epochs = 5}));
  const std::string before = bits_of(parts.net);
  const LrRange range = find_lr(parts.objective, *parts.optimizer, parts.loader, {.steps = 61});
  REQUIRE(range.trials.size() > 10);
  REQUIRE(range.diverged_at);
  CHECK(range.trials.size() < 61);
  CHECK(std::abs(range.trials[0].lr / 0.25e-3 - 1) < 1e-12);  // a few roundings of exp()
  for (std::size_t i = 1; i < range.trials.size(); ++i)
    CHECK(std::abs(range.trials[i].lr / range.trials[i - 1].lr / std::pow(10, 0.1) - 1) < 1e-12);
  CHECK(range.lowest_at < *range.diverged_at);
  CHECK(range.suggestion == range.lowest_at / 10);
  CHECK(range.trials[0].smoothed == Approx(range.trials[0].loss).epsilon(1e-12));
  const auto& [first, second] = std::pair(range.trials[0].loss, range.trials[1].loss);
  CHECK(range.trials[1].smoothed == Approx((0.09 * first + 0.1 * second) / 0.19).epsilon(1e-12));

  CHECK(bits_of(parts.net) == before);
  CHECK(parts.optimizer->steps() == 0);
  CHECK(parts.optimizer->schedule()->options().epochs == 5);
  CHECK(parts.optimizer->lr() == 0.25);
  TinyParts fresh({.optimizer = "sgd", .lr = 0.25});
  fresh.optimizer->set_schedule(*parts.optimizer->schedule());
  for (TinyParts* of : {&parts, &fresh}) Trainer(of->objective, *of->optimizer, of->loader).run();
  CHECK(bits_of(parts.net) == bits_of(fresh.net));
}

TEST_CASE("steps in parts are whole steps, over as many epochs as it takes") {
  TinyOptions options{.optimizer = "lars", .lr = 0.01};
  options.loader.micro_batch = 10;
  TinyParts parts(options);
  const LrRange range = find_lr(parts.objective, *parts.optimizer, parts.loader,
                                {.from = 1e-6, .to = 1e-5, .steps = 7, .smoothing = 0});
  CHECK(range.trials.size() == 7);
  CHECK_FALSE(range.diverged_at);
  CHECK(std::abs(range.trials.back().lr / 1e-5 - 1) < 1e-12);
  for (const LrTrial& trial : range.trials) CHECK(trial.smoothed == trial.loss);
}

TEST_CASE("a range test that cannot be is refused, and changes nothing") {
  TinyParts parts;
  const std::string before = bits_of(parts.net);
  const auto refused = [&](const FindLrOptions& options, const char* what) {
    CHECK_THROWS_AS(find_lr(parts.objective, *parts.optimizer, parts.loader, options), UsageError);
    CHECK(unexplained([&] { find_lr(parts.objective, *parts.optimizer, parts.loader, options); }, {what}) ==
          "nothing");
  };
  refused({.from = 1, .to = 0.5}, "from 1, to 0.5");
  refused({.from = -1}, "from -1");
  refused({.to = std::nan("")}, "to nan");
  refused({.steps = 1}, "steps 1");
  refused({.smoothing = 1}, "smoothing 1");
  OwnObjective broken(parts.net,
                      [&](const data::Part& part) { return parts.objective.loss(part).loss / 0.0; });
  CHECK(unexplained([&] { find_lr(broken, *parts.optimizer, parts.loader); },
                    {"the first step", "the loss is"}) == "nothing");
  CHECK(bits_of(parts.net) == before);
}

}  // namespace lamina::tests
