// `lamina bench parallel`: what several ranks cost, under mpirun or srun: sums over them beside a copy in
// memory, and training steps of which each computes its share beside the same shares without a sum. From that
// a model of more machines, docs/cluster.md:
//   step(n) = compute(batch / n) + sum(n),
//   sum(n)  = 2 (n - 1) messages / bucket + 2 (1 - 1/n) bytes / bandwidth,
// since core/parallel sums buckets of n MiB by sending a piece to each other rank, and the pieces' sums back.
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

// Steps with the ranks' sums or, with `summed` null, of every rank for itself.
double step_ms(const BenchParallel& command, Collective& ranks, Collective* summed) {
  ResNet net = make_net(command.model);
  Classification objective(net);
  const auto optimizer = make_optimizer(command.optimizer, net.parameters(), {{"lr", "1e-4"}},
                                        {.batch = command.batch, .steps_per_epoch = 100});
  train::TrainingStep step(objective, *optimizer, {.ranks = summed});
  const data::Part part = share_of_batch(command, ranks);
  for (int i = 1; i < command.warmup; ++i) step.run(part);
  step.results();
  return time_together(ranks, command.steps,
                       [&] {
                         step.run(part);
                         const train::StepResults results = step.results();
                         check(results.failure.empty(), "bench parallel: {}; try another --optimizer",
                               results.failure);
                       })
      .median();
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
  const double alone = step_ms(command, ranks, nullptr), together = step_ms(command, ranks, &ranks);
  return {
      {"model", command.model.model},
      {"optimizer", command.optimizer},
      {"batch", command.batch},
      {"ranks", ranks.size()},
      {"threads", threads()},
      {"parameters", parameters},
      {"sums", time_sums(ranks, parameters, command.repeat)},
      {"compute_ms", alone},
      {"step_ms", together},
      {"images_per_s", 1e3 * static_cast<double>(command.batch) / together},
      {"communication", (together - alone) / together},
      {"predict_batch", command.predict_batch > 0 ? command.predict_batch : command.batch},
      {"latency_us", command.latency_us},
      {"predictions", predictions(command, static_cast<double>(parameters) * sizeof(float), alone / share)}};
}

void print_parallel(const nlohmann::json& result) {
  const auto number = [](const nlohmann::json& of, const char* key) { return of[key].get<double>(); };
  print_result(
      "{}, batch {}, {} ranks of {} threads: a step {:.2f} ms, {:.1f} images/s; computing alone {:.2f} ms, "
      "so that sums and "
      "waiting take {:.1f} %\n\n",
      result["model"].get<std::string>(), number(result, "batch"), number(result, "ranks"),
      number(result, "threads"), number(result, "step_ms"), number(result, "images_per_s"),
      number(result, "compute_ms"), 100 * number(result, "communication"));
  Table sums({"bytes", "sum ms", "GB/s", "copy ms", "GB/s"});
  for (const nlohmann::json& row : result["sums"])
    sums.add({fmt::format("{:.0f}", number(row, "bytes")), fmt::format("{:.3f}", number(row, "sum_ms")),
              fmt::format("{:.2f}", number(row, "sum_gb_per_s")),
              fmt::format("{:.3f}", number(row, "copy_ms")),
              fmt::format("{:.2f}", number(row, "copy_gb_per_s"))});
  if (number(result, "ranks") > 1) print_result("{}\n", sums.str());
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
  const Command parallel =
      bench.add("parallel", "Sums over ranks and their training steps, under mpirun or srun");
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
