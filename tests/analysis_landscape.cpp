// Losses over planes: their order, files that are gone on with, running statistics, barriers.
#include "analysis/landscape.h"

#include <cmath>
#include <limits>

#include "analysis/running_statistics.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "core/backend.h"
#include "core/ops/loss.h"
#include "golden_net.h"
#include "message_of.h"
#include "temporary_directory.h"
#include "tiny_training.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using analysis::Coordinates;
using analysis::LandscapeOptions;
using analysis::LandscapePoint;
using analysis::StatisticsMode;

struct DrawnNet {
  explicit DrawnNet(std::int64_t micro_batch = 8)
      : objective(net), surface(objective, golden_parts(micro_batch), analysis::BatchNormMode::eval) {}
  GoldenNet net;
  Classification objective;
  analysis::LossSurface surface;
};

std::vector<double> losses_of(const std::vector<LandscapePoint>& points) {
  std::vector<double> losses;
  for (const LandscapePoint& point : points) losses.push_back(point.loss);
  return losses;
}

}  // namespace

TEST_CASE("a grid has the first axis fastest, and its ends and its middle exactly") {
  const auto grid = analysis::grid_of({{-1, 1, 3}, {0, 0.5, 2}});
  CHECK(grid == std::vector<Coordinates>{{-1, 0}, {0, 0}, {1, 0}, {-1, 0.5}, {0, 0.5}, {1, 0.5}});
  CHECK(analysis::line_between({0, 1}, {1, 3}, 3) == std::vector<Coordinates>{{0, 1}, {0.5, 2}, {1, 3}});
}

TEST_CASE("a landscape that is stopped and gone on with is that of one go, to the bit, for any threads") {
  const Directory directory;
  const auto grid = analysis::grid_of({{-1, 1, 5}, {-0.5, 0.5, 3}});
  LandscapeOptions options{.statistics = StatisticsMode::estimated, .file = directory.file("whole.csv")};
  const DrawnNet of(4);
  const analysis::Plane plane = random_plane(of.surface, 2, 1);
  const std::uint64_t before = digest_of(state_of(of.surface));
  set_threads(1);
  const auto whole = measure(of.surface, plane, grid, options);
  CHECK(digest_of(state_of(of.surface)) == before);
  CHECK(of.net.parameter("bn1.num_batches_tracked").value.item() == 0);
  REQUIRE(whole.size() == 15);
  CHECK(losses_of(whole).front() != losses_of(whole).back());

  options.file = directory.file("stopped.csv");
  options.keep_going = [](std::size_t done, std::size_t of_all) { return done < 6 && of_all == 15; };
  CHECK(measure(of.surface, plane, grid, options).size() == 6);
  const std::string six = contents_of(options.file);
  put(options.file, six + "7,0.5,0.5,1.2");  // killed while it wrote the seventh
  set_threads(3);
  std::size_t measured = 0;
  options.keep_going = [&](std::size_t, std::size_t) { return ++measured > 0; };
  CHECK(losses_of(measure(of.surface, plane, grid, options)) == losses_of(whole));
  CHECK(measured == 9);
  CHECK(contents_of(options.file) == contents_of(directory.file("whole.csv")));
  measured = 0;
  CHECK(measure(of.surface, plane, grid, options)[7].metrics == whole[7].metrics);
  CHECK(measured == 0);

  const auto other = analysis::grid_of({{-1, 1, 5}, {-0.4, 0.4, 3}});
  CHECK(unexplained([&] { measure(of.surface, plane, other, options); },
                    {"stopped.csv", "row 1", "of no point of this landscape"}) == "nothing");
}

TEST_CASE("statistics that are estimated are those of the samples, whatever they were") {
  DrawnNet of;
  const Tensor x = of.surface.parts().front().images();  // [8, 8, 8, 3]
  const auto y = of.net.child<Conv2d>("conv1")(x).detach().to_vector<double>();
  analysis::estimate_running_statistics(of.surface);
  const auto mean = of.net.parameter("bn1.running_mean").value.to_vector<double>();
  const auto variance = of.net.parameter("bn1.running_var").value.to_vector<double>();
  for (std::size_t c = 0; c < 4; ++c) {
    double sum = 0, squares = 0;
    const double n = static_cast<double>(y.size()) / 4;
    for (std::size_t i = c; i < y.size(); i += 4) sum += y[i];
    for (std::size_t i = c; i < y.size(); i += 4) squares += (y[i] - sum / n) * (y[i] - sum / n);
    CHECK(mean[c] == Approx(sum / n).epsilon(1e-12));
    CHECK(variance[c] == Approx(squares / (n - 1)).epsilon(1e-12));
  }
  CHECK(of.net.training());
  // A second time from these: nothing of them is left in the new ones.
  analysis::estimate_running_statistics(of.surface);
  CHECK(of.net.parameter("bn1.running_mean").value.to_vector<double>() == mean);
}

TEST_CASE("parts count by their samples, and calls by what the momentum leaves of them") {
  GoldenNet net;
  Classification objective(net);
  const auto mean_of = [&](const std::vector<data::Part>& parts) {
    const analysis::LossSurface surface(objective, parts, analysis::BatchNormMode::eval);
    analysis::estimate_running_statistics(surface);
    return net.parameter("bn1.running_mean").value.to_vector<double>();
  };
  const auto whole = mean_of(golden_parts(8)), parted = mean_of(golden_parts(3));  // 3, 3 and 2 samples
  for (std::size_t c = 0; c < 4; ++c) CHECK(parted[c] == Approx(whole[c]).epsilon(1e-12));

  OwnObjective twice(net, [&](const data::Part& part) {
    (void)net(part.images());
    return part.mean(cross_entropy_per_sample(net(part.images()), part.labels));
  });
  const analysis::LossSurface surface(twice, golden_parts(8), analysis::BatchNormMode::eval);
  analysis::estimate_running_statistics(surface);
  const auto called_twice = net.parameter("bn1.running_mean").value.to_vector<double>();
  for (std::size_t c = 0; c < 4; ++c) CHECK(called_twice[c] == Approx(whole[c]).epsilon(1e-12));
}

TEST_CASE("variances that moved below 0 are 0") {
  const DrawnNet of;
  const Tensor statistics = analysis::running_statistics(of.net);
  analysis::scale(statistics, -1);
  analysis::set_running_statistics(of.net, statistics);
  CHECK(of.net.parameter("bn1.running_var").value.to_vector<double>() == std::vector<double>(4, 0.0));
  CHECK(of.net.parameter("bn1.running_mean").value.to_vector<double>()[1] == -0.05);
  CHECK(std::isfinite(of.surface.value().loss()));
  CHECK(unexplained([&] { analysis::set_running_statistics(of.net, Tensor::zeros({3})); },
                    {"running statistics", "expected 20"}) == "nothing");
}

TEST_CASE("far away a loss that is not finite is a point like any other, in files too") {
  const Directory directory;
  const DrawnNet of;
  const std::vector<Coordinates> places{{0}, {1e200}, {1}};
  LandscapeOptions options{.statistics = StatisticsMode::kept, .file = directory.file("points.csv")};
  const auto points = measure(of.surface, random_plane(of.surface, 1, 1), places, options);
  CHECK(std::isfinite(points[0].loss));
  CHECK_FALSE(std::isfinite(points[1].loss));
  CHECK(std::isfinite(points[2].loss));
  const auto read = measure(of.surface, random_plane(of.surface, 1, 1), places, options);
  CHECK_FALSE(std::isfinite(read[1].loss));
  CHECK(read[2].loss == points[2].loss);
}

TEST_CASE("the barrier of a loss is how far it rises above the line between its ends") {
  // L = 16 t² (1 − t)² + t: 1 above the line at t = ½.
  std::vector<double> losses;
  for (int i = 0; i <= 20; ++i) {
    const double t = i / 20.0;
    losses.push_back(16 * t * t * (1 - t) * (1 - t) + t);
  }
  const analysis::LossBarrier barrier = analysis::loss_barrier(losses);
  CHECK(barrier.height == Approx(1).epsilon(1e-14));
  CHECK(barrier.t == 0.5);
  CHECK(analysis::loss_barrier(std::vector{1.0, 0.5, 3.0}).height == 0);  // it lies below the line
  CHECK(std::isnan(analysis::loss_barrier(std::vector{1.0, std::nan(""), 1.0}).height));
  CHECK(std::isinf(
      analysis::loss_barrier(std::vector{1.0, std::numeric_limits<double>::infinity(), 1.0}).height));
}

TEST_CASE("landscapes that make no sense are refused") {
  DrawnNet of;
  const analysis::Plane plane = random_plane(of.surface, 1, 1);
  const std::vector<Coordinates> places{{0}};
  CHECK(unexplained([&] { measure(of.surface, plane, places, {.statistics = StatisticsMode::moved}); },
                    {"bn_stats = moved", "no running statistics"}) == "nothing");
  const analysis::LossSurface training(of.objective, golden_parts(), analysis::BatchNormMode::train);
  CHECK(unexplained([&] { measure(training, plane, places, {.statistics = StatisticsMode::kept}); },
                    {"training mode", "evaluation"}) == "nothing");
  CHECK(unexplained([] { analysis::parse_statistics_mode("keep"); }, {"bn_stats keep", "kept?"}) ==
        "nothing");
  CHECK(unexplained([&] { plane.at(std::vector{1.0, 2.0}); }, {"2 coordinates for 1"}) == "nothing");
}

}  // namespace lamina::tests
