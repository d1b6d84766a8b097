// `lamina bench parallel`: what several ranks cost, under mpirun or srun: sums over them beside a copy in
// memory, and training steps of which each computes its share beside the same shares without a sum; how much
// of the sums the backward pass hides. From that a model of more machines, docs/cluster.md:
//   step(n) = compute(batch / n) + sum(n),
//   sum(n)  = 2 (n - 1) messages / bucket + 2 (1 - 1/n) bytes / bandwidth,
// since core/parallel sums buckets of n MiB by sending a piece to each other rank, and the pieces' sums back.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/bench/bench.h"
#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/base/table.h"
#include "core/parallel/collective.h"
#include "optim/presets.h"
#include "train/objectives/classification.h"
#include "train/run_ranks.h"
#include "train/step.h"

namespace lamina::app {
namespace {

struct BenchParallel {
  BenchModel model;
  std::string optimizer = "lars";
  std::int64_t batch = 128;
  int steps = 5, warmup = 1, repeat = 10;
  std::int64_t predict_batch = 0;  // 0: batch
  double latency_us = 20;
  std::vector<double> gbits = {10, 100};
  bool json = false;
};

constexpr double bucket_bytes = 1 << 20;  // of each rank, as core/parallel sums them
constexpr std::array predicted_ranks{1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

// Milliseconds of a call that all ranks make at once.
template <typename Call>
Samples<double> time_together(Collective& ranks, int repeat, const Call& call) {
  std::vector<double> times;
  for (int i = -1; i < repeat; ++i) {
    ranks.barrier();
    const Stopwatch watch(Device::cpu());
    call();
    if (i >= 0) times.push_back(watch.ms());
  }
  return Samples(std::move(times));
}

double gb_per_s(double bytes, double ms) { return ms > 0 ? bytes / ms * 1e-6 : 0; }

nlohmann::json time_sums(Collective& ranks, std::int64_t parameters, int repeat) {
  nlohmann::json rows = nlohmann::json::array();
  for (const std::int64_t count : {std::int64_t{256}, std::int64_t{1} << 18, parameters}) {
    std::vector<float> values(static_cast<std::size_t>(count), 1.0f / 3), copy(values.size());
    const double bytes = static_cast<double>(count) * sizeof(float);
    const double sum = time_together(ranks, repeat, [&] { ranks.sum(values); }).median();
    const double copied = time_together(ranks, repeat, [&] {
                            std::memcpy(copy.data(), values.data(), values.size() * sizeof(float));
                          }).median();
    rows.push_back({{"bytes", bytes},
                    {"sum_ms", sum},
                    {"sum_gb_per_s", gb_per_s(bytes, sum)},
                    {"copy_ms", copied},
                    {"copy_gb_per_s", gb_per_s(bytes, copied)}});
  }
  return rows;
}

// A rank's share of the batch.
data::Part share_of_batch(const BenchParallel& command, Collective& ranks) {
  const data::Share share{.index = ranks.rank(), .of = ranks.size()};
  const std::int64_t begin = share.begin(command.batch), count = share.end(command.batch) - begin;
  return {.views = {random_tensor(command.model.images(count), Device::cpu())},
          .labels = random_labels(count, command.model.classes, Device::cpu()),
          .batch_samples = command.batch,
          .offset = begin};
}

// When the ranks sum the gradients of a step.
enum class Sums { never, after_backward, beside_backward };

// Steps on this rank's share of the batch.
class Steps {
 public:
  Steps(const BenchParallel& command, Collective& ranks, Sums sums)
      : net_(make_net(command.model)),
        objective_(net_),
        optimizer_(make_optimizer(command.optimizer, net_.parameters(), {{"lr", "1e-4"}},
                                  {.batch = command.batch, .steps_per_epoch = 100})),
        step_(objective_, *optimizer_,
              {.ranks = sums == Sums::never ? nullptr : &ranks,
               .sums_beside_backward = sums == Sums::beside_backward}) {}

  void take(const data::Part& part) {
    step_.run(part);
    const train::StepResults results = step_.results();
    check(results.failure.empty(), "bench parallel: {}; try another --optimizer", results.failure);
  }

 private:
  ResNet net_;
  Classification objective_;
  std::unique_ptr<Optimizer> optimizer_;
  train::TrainingStep step_;
};

// Milliseconds of the slowest rank, for which the others wait, in every turn of one step of each kind.
std::vector<std::vector<double>> times_of_steps(const BenchParallel& command, Collective& ranks,
                                                const std::vector<Sums>& kinds) {
  std::vector<std::unique_ptr<Steps>> steps;
  for (const Sums sums : kinds) steps.push_back(std::make_unique<Steps>(command, ranks, sums));
  const data::Part part = share_of_batch(command, ranks);
  std::vector<std::vector<double>> times(kinds.size());
  for (int turn = -command.warmup; turn < command.steps; ++turn) {
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      ranks.barrier();
      const Stopwatch watch(Device::cpu());
      steps[kind]->take(part);
      const std::vector<double> of_ranks = train::RunRanks(&ranks).of_each(watch.ms());
      if (turn >= 0) times[kind].push_back(*std::max_element(of_ranks.begin(), of_ranks.end()));
    }
  }
  return times;
}

// What each way of summing adds to a step, and how much of what the sums take by themselves the backward pass
// hides of it.
nlohmann::json ways_to_sum(const std::vector<Sums>& kinds, const std::vector<std::vector<double>>& times,
                           double sum_ms) {
  nlohmann::json ways = nlohmann::json::array();
  for (std::size_t kind = 1; kind < kinds.size(); ++kind) {
    std::vector<double> added;
    for (std::size_t turn = 0; turn < times[kind].size(); ++turn)
      added.push_back(times[kind][turn] - times[0][turn]);
    const double added_ms = Samples(added).median();
    ways.push_back({{"sums", kinds[kind] == Sums::beside_backward ? "beside the backward pass"
                                                                  : "after the backward pass"},
                    {"used", kind == 1},
                    {"step_ms", Samples(times[kind]).median()},
                    {"added_ms", added_ms},
                    {"hidden", 1 - added_ms / sum_ms}});
  }
  return ways;
}

double predicted_sum_ms(double bytes, int ranks, double latency_us, double bytes_per_s) {
  const double n = ranks, buckets = std::ceil(bytes / (n * bucket_bytes));
  return buckets * 2 * (n - 1) * latency_us * 1e-3 + 2 * (1 - 1 / n) * bytes / bytes_per_s * 1e3;
}

nlohmann::json predictions(const BenchParallel& command, double bytes, double ms_per_image) {
  nlohmann::json rows = nlohmann::json::array();
  const std::int64_t images = command.predict_batch > 0 ? command.predict_batch : command.batch;
  const auto batch = static_cast<double>(images);
  for (const int n : predicted_ranks) {
    if (n > images) break;
    nlohmann::json row{{"ranks", n}};
    for (const double gbit : command.gbits) {
      const double compute = ms_per_image * batch / n,
                   sum = predicted_sum_ms(bytes, n, command.latency_us, gbit * 1e9 / 8);
      row["networks"].push_back({{"gbit", gbit},
                                 {"images_per_s", 1e3 * batch / (compute + sum)},
                                 {"efficiency", compute / (compute + sum)}});
    }
    rows.push_back(row);
  }
  return rows;
}

void check_options(const BenchParallel& command, int ranks) {
  if (command.batch < ranks)
    fail_usage("bench parallel: --batch {} for {} ranks; each needs an image at least", command.batch, ranks);
  for (const double gbit : command.gbits)
    if (!(gbit > 0)) fail_usage("--gbit {}: expected above 0", gbit);
  if (command.model.device.device != "cpu")
    fail_usage("--device {}: ranks compute on the CPU; leave it out", command.model.device.device);
  find_preset(command.optimizer);
}

nlohmann::json measure(const BenchParallel& command) {
  Collective& ranks = collective();
  check_options(command, ranks.size());
  const std::int64_t parameters = [&] {
    ResNet net = make_net(command.model);
    std::int64_t count = 0;
    for (const auto& param : net.parameters()) count += param->value.elements();
    return count;
  }();
  const double share = static_cast<double>(ceil_div<std::int64_t>(command.batch, ranks.size()));
  // The way that training sums comes first.
  const bool beside = ranks.sums_wait_for_network();
  std::vector<Sums> kinds{Sums::never, beside ? Sums::beside_backward : Sums::after_backward};
  if (ranks.size() > 1) kinds.push_back(beside ? Sums::after_backward : Sums::beside_backward);
  const std::vector<std::vector<double>> times = times_of_steps(command, ranks, kinds);
  const double alone = Samples(times[0]).median(), together = Samples(times[1]).median();
  const nlohmann::json sums = time_sums(ranks, parameters, command.repeat);
  return {
      {"model", command.model.model},
      {"optimizer", command.optimizer},
      {"batch", command.batch},
      {"ranks", ranks.size()},
      {"threads", threads()},
      {"parameters", parameters},
      {"sums", sums},
      {"compute_ms", alone},
      {"step_ms", together},
      {"images_per_s", 1e3 * static_cast<double>(command.batch) / together},
      {"communication", (together - alone) / together},
      {"ways_to_sum",
       ranks.size() > 1 ? ways_to_sum(kinds, times, sums.back()["sum_ms"]) : nlohmann::json::array()},
      {"predict_batch", command.predict_batch > 0 ? command.predict_batch : command.batch},
      {"latency_us", command.latency_us},
      {"predictions", predictions(command, static_cast<double>(parameters) * sizeof(float), alone / share)}};
}

void print_ways(const nlohmann::json& result) {
  Table table({"sums of gradients", "step ms", "added ms", "hidden"});
  std::string used;
  for (const nlohmann::json& way : result["ways_to_sum"]) {
    const std::string name = way["sums"];
    if (way["used"]) used = name;
    const double hidden = way["hidden"];
    table.add({name, fmt::format("{:.2f}", way["step_ms"].get<double>()),
               fmt::format("{:.2f}", way["added_ms"].get<double>()),
               hidden > 0 ? fmt::format("{:.0f} %", 100 * std::min(hidden, 1.0)) : "none"});
  }
  print_result(
      "{}\nHidden: 1 - added / {:.2f}, what the sums take by themselves. Training with these ranks sums "
      "{}.\n\n",
      table.str(), result["sums"].back()["sum_ms"].get<double>(), used);
}

void print_parallel(const nlohmann::json& result) {
  const auto number = [](const nlohmann::json& of, const char* key) { return of[key].get<double>(); };
  print_result(
      "{}, batch {}, {} ranks of {} threads: a step {:.2f} ms, {:.1f} images/s; computing alone {:.2f} ms, "
      "so that sums take {:.1f} %\n\n",
      result["model"].get<std::string>(), number(result, "batch"), number(result, "ranks"),
      number(result, "threads"), number(result, "step_ms"), number(result, "images_per_s"),
      number(result, "compute_ms"), 100 * number(result, "communication"));
  Table sums({"bytes", "sum ms", "GB/s", "copy ms", "GB/s"});
  for (const nlohmann::json& row : result["sums"])
    sums.add({fmt::format("{:.0f}", number(row, "bytes")), fmt::format("{:.3f}", number(row, "sum_ms")),
              fmt::format("{:.2f}", number(row, "sum_gb_per_s")),
              fmt::format("{:.3f}", number(row, "copy_ms")),
              fmt::format("{:.2f}", number(row, "copy_gb_per_s"))});
  if (number(result, "ranks") > 1) {
    print_result("{}\n", sums.str());
    print_ways(result);
  }
  print_result("Predicted for batch {}, a machine a rank, {} us a message:\n\n",
               number(result, "predict_batch"), number(result, "latency_us"));
  std::vector<std::string> header{"ranks"};
  for (const nlohmann::json& network : result["predictions"][0]["networks"]) {
    header.push_back(fmt::format("images/s, {} Gbit/s", number(network, "gbit")));
    header.emplace_back("efficiency");
  }
  Table table(header);
  for (const nlohmann::json& row : result["predictions"]) {
    std::vector<std::string> cells{fmt::format("{}", row["ranks"].get<int>())};
    for (const nlohmann::json& network : row["networks"]) {
      cells.push_back(fmt::format("{:.0f}", number(network, "images_per_s")));
      cells.push_back(fmt::format("{:.3f}", number(network, "efficiency")));
    }
    table.add(cells);
  }
  print_result("{}", table.str());
}

int run_bench_parallel(const BenchParallel& command) {
  return show(measure(command), command.json, print_parallel);
}

}  // namespace

void add_bench_parallel(const Command& bench) {
  const Command parallel = bench.add(
      "parallel",
      "Sums over ranks and their training steps, under mpirun or srun. Of the time that sums of "
      "gradients take by themselves, the share 1 - added / alone is hidden behind the backward pass, "
      "if they add so much to a step; for the way in which these ranks train, and the other");
  auto command = std::make_shared<BenchParallel>();
  add_options(parallel, command->model);
  parallel.option("--batch", command->batch, "images per step, of all ranks", between(1, 1e9));
  parallel.option("--optimizer", command->optimizer, "O[:PRESET]; lamina info --presets lists them");
  parallel.option("--steps", command->steps, "steps that are measured", between(1, 1e9));
  parallel.option("--warmup", command->warmup, "steps before them", between(1, 1e9));
  parallel.option("--repeat", command->repeat, "measured sums of each size", between(1, 1e9));
  parallel.option("--predict-batch", command->predict_batch, "images per step to predict for; 0: --batch",
                  between(0, 1e9));
  parallel.option("--latency-us", command->latency_us, "microseconds of a message, for the predictions",
                  between(0, 1e9));
  parallel.option("--gbit", command->gbits, "Gbit/s of the networks to predict for");
  parallel.option("--json", command->json, "one JSON object on standard output, nothing else");
  parallel.runs([command] { return run_bench_parallel(*command); });
}

}  // namespace lamina::app
