// What is made of gradients besides a step, on all ranks: perturbations and the noise scale are those of one
// process with the same parts.
#include <cmath>
#include <vector>

#include "catch.h"
#include "net_on_ranks.h"
#include "train/noise_scale.h"
#include "train/trainer.h"

namespace lamina {
namespace {

using Rows = std::vector<std::vector<double>>;

struct Perturbed {
  std::vector<double> state;
  std::vector<double> losses;  // of the epochs
  Rows measured;               // what observers add to each step
};

struct Measured final : Observer {
  std::string name() const override { return "measured"; }
  void step(TrainedStep& step) override { rows.push_back(step.measured); }
  void epoch(const EpochResult& result) override { losses.push_back(result.train.loss()); }
  Rows rows;
  std::vector<double> losses;
};

// Three epochs of the Trainer, on all ranks or alone.
Perturbed train_perturbed(Collective* ranks, const TrainerOptions& with, std::int64_t micro_batch = 0,
                          bool noise_scale = false) {
  tests::OnImages net("resnet8", DType::f64);
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  TrainerOptions options = with;
  options.epochs = 3, options.ranks = ranks;
  Trainer trainer(objective, optimizer, tests::loader_of_parts(ranks, micro_batch), options);
  NoiseScale noise;
  Measured measured;
  if (noise_scale) trainer.observe(noise);
  REQUIRE(trainer.observe(measured).run().finished);
  return {tests::state_of(net), measured.losses, measured.rows};
}

void check_equal(const Perturbed& together, const Perturbed& one) {
  CHECK(tests::largest_difference(together.state, one.state) < 1e-12);
  CHECK(tests::largest_difference(together.losses, one.losses) < 1e-12);
}

std::vector<double> column(const Rows& measured, std::size_t at) {
  std::vector<double> values;
  for (const std::vector<double>& row : measured) values.push_back(row.at(at));
  return values;
}

// Of differences of sums: S and |G|² are as exact as the squares that they are made from.
void check_same_noise(const Perturbed& together, const Perturbed& one) {
  REQUIRE(together.measured.size() == 9);
  for (std::size_t i = 0; i < 9; ++i) {
    const std::vector<double>&a = together.measured[i], &b = one.measured.at(i);
    REQUIRE(a.size() == 3);
    const double size = std::abs(b[0]) + std::abs(b[1]);
    CHECK(std::abs(a[0] - b[0]) < 1e-12 * size);
    CHECK(std::abs(a[1] - b[1]) < 1e-12 * size);
    CHECK(a[2] == a[0] / a[1]);
  }
}

}  // namespace

TEST_CASE("perturbations of ranks are those of one process with the same parts", "[parallel]") {
  for (const bool adaptive : {false, true}) {
    CAPTURE(adaptive);
    const TrainerOptions options{.sharpness_aware = SamOptions{.rho = 0.5, .adaptive = adaptive}};
    check_equal(train_perturbed(&collective(), options), train_perturbed(nullptr, options));
    // a rank's share in parts, which come twice
    check_equal(train_perturbed(&collective(), options, 2), train_perturbed(nullptr, options, 2));
  }
}

TEST_CASE("parts of m samples have the same perturbations on ranks", "[parallel]") {
  const std::int64_t m = tests::batch / collective().size() / 2;
  const TrainerOptions options{.sharpness_aware = SamOptions{.rho = 0.1, .m = m}};
  check_equal(train_perturbed(&collective(), options), train_perturbed(nullptr, options, m));
}

TEST_CASE("a part with a perturbation of its own lies on one rank", "[parallel]") {
  if (collective().size() == 1) return;
  const TrainerOptions options{.sharpness_aware = SamOptions{.rho = 0.5, .m = 5}};
  CHECK_THROWS_WITH(train_perturbed(&collective(), options),
                    Catch::Contains("a multiple of " + std::to_string(5 * collective().size())));
}

TEST_CASE("with the statistics of all ranks a perturbation is that of the whole batch", "[parallel]") {
  const TrainerOptions options{.sharpness_aware = SamOptions{.rho = 0.5}},
      synchronised{.sharpness_aware = SamOptions{.rho = 0.5}, .sync_batch_norm = true};
  const Perturbed together = train_perturbed(&collective(), synchronised),
                  one = train_perturbed(nullptr, options, tests::batch);
  CHECK(tests::largest_difference(together.state, one.state) < 1e-10);
}

TEST_CASE("the noise scale of ranks is that of one process with the same parts", "[parallel]") {
  if (collective().size() > 1)
    check_same_noise(train_perturbed(&collective(), {}, 0, true), train_perturbed(nullptr, {}, 0, true));
  check_same_noise(train_perturbed(&collective(), {}, 2, true), train_perturbed(nullptr, {}, 2, true));
  const TrainerOptions sharpness_aware{.sharpness_aware = SamOptions{.rho = 0.5}};
  check_same_noise(train_perturbed(&collective(), sharpness_aware, 2, true),
                   train_perturbed(nullptr, sharpness_aware, 2, true));
}

TEST_CASE("all ranks measure the same noise, to the bit", "[parallel]") {
  const Perturbed own = train_perturbed(&collective(), {}, 2, true);
  const std::vector<double> variances = column(own.measured, 0);
  const std::string bytes(reinterpret_cast<const char*>(variances.data()), variances.size() * sizeof(double));
  for (const std::string& others : collective().gather(bytes)) CHECK(others == bytes);
}

}  // namespace lamina
