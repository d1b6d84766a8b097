// Curvature measured over a run, and products that survive an interruption.
#include <cmath>
#include <filesystem>

#include "analysis/curvature.h"
#include "analysis/product_journal.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "core/base/csv.h"
#include "golden_net.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;
using analysis::BatchNormMode;

std::vector<data::Part> tiny_samples(const Objective& objective) {
  return analysis::fixed_samples(objective, tiny_images().train, {}, {.samples = 32, .micro_batch = 16}, {});
}

analysis::CurvatureOptions quick(BatchNormMode mode = BatchNormMode::eval) {
  analysis::CurvatureOptions options{.batch_norm = mode, .layers = analysis::LayerOptions{.max_steps = 4}};
  options.eigenvalues.max_steps = 6;
  options.trace.least_probes = options.trace.most_probes = 2;
  return options;
}

// Trains to so many epochs, going on if a run is there. Returns the weights.
std::vector<float> train(const fs::path& directory, std::int64_t epochs, bool with_curvature = true,
                         BatchNormMode mode = BatchNormMode::eval) {
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = epochs, .directory = directory});
  analysis::Curvature curvature(tiny_samples(parts.objective), quick(mode));
  if (with_curvature) trainer.observe(curvature);
  trainer.run();
  std::vector<float> weights;
  for (const auto& param : parts.net.state()) {
    const std::vector<double> values = cast(param->value, DType::f64).to_vector<double>();
    weights.insert(weights.end(), values.begin(), values.end());
  }
  return weights;
}

}  // namespace

TEST_CASE("curvature is measured before the first epoch and after each, and training sees nothing of it") {
  for (const BatchNormMode mode : {BatchNormMode::eval, BatchNormMode::train}) {
    const Directory directory;
    CHECK(train(directory.file("with"), 2, true, mode) == train(directory.file("without"), 2, false));
    const auto rows = read_csv(directory.file("with") / "curvature.csv",
                               {"epoch", "step", "lambda_1", "lambda_min", "trace", "lr", "grad_norm"});
    REQUIRE(rows.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(rows[i][0] == static_cast<double>(i));
      CHECK(rows[i][1] == 3 * static_cast<double>(i));
      CHECK(rows[i][2] > rows[i][3]);
      CHECK(rows[i][6] > 0);
      CHECK(std::isnan(rows[i][5]) == (i == 0));
    }
    const auto epochs = read_csv(directory.file("with") / "epochs.csv", {"lambda_1"});
    CHECK(std::abs(epochs[1][0] - rows[2][2]) < 1e-8 * rows[2][2]);
  }
}

TEST_CASE("a run that goes on finds the curvature of one that was never stopped") {
  const Directory directory;
  train(directory.file("whole"), 4);
  train(directory.file("parts"), 2);
  train(directory.file("parts"), 4);
  for (const char* name : {"curvature.csv", "curvature.safetensors"}) {
    INFO(name);
    CHECK(contents_of(directory.file("parts") / name) == contents_of(directory.file("whole") / name));
  }
  const TensorFile file = read_tensors(directory.file("whole") / "curvature.safetensors");
  CHECK(file.at("trace").shape() == Shape{5, 16});
  CHECK(file.at("eigenvalue").shape() == Shape{5, 16});
  CHECK(file.metadata.at("bn") == "eval");
  CHECK(file.metadata.at("samples") == "32");
  // conv1 adapts: its last step's rate is LARS' trust ratio times the schedule's.
  const std::vector<float> rates = file.at("lr").to_vector<float>();
  CHECK(std::isnan(rates[0]));
  CHECK(rates[4 * 16] > 0);
  CHECK(rates[4 * 16] < 0.5f);
}

TEST_CASE("the layers' largest eigenvalues are those of the point that was reached") {
  const Directory directory;
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = 1, .directory = directory.file("run")});
  analysis::Curvature curvature(tiny_samples(parts.objective), quick());
  trainer.observe(curvature).run();
  const analysis::LossSurface surface(parts.objective, tiny_samples(parts.objective), BatchNormMode::eval);
  const auto expected = analysis::layer_eigenvalues(surface, analysis::layers_of(surface), *quick().layers);
  const TensorFile file = read_tensors(directory.file("run") / "curvature.safetensors");
  const std::vector<float> found = file.at("eigenvalue").rows(1, 1).to_vector<float>();
  REQUIRE(found.size() == expected.size());
  for (std::size_t k = 0; k < found.size(); ++k)
    CHECK(found[k] == static_cast<float>(expected[k].eigenvalue));
}

TEST_CASE("a run whose curvature was lost goes on, and saves it again") {
  const Directory directory;
  const fs::path run = directory.file("run");
  train(run, 1);
  fs::remove(run / "curvature.safetensors");
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = 2, .directory = run, .checkpoint_steps = 1});  // before the next measurement
  analysis::Curvature curvature(tiny_samples(parts.objective), quick());
  CHECK(trainer.observe(curvature).run().finished);
  CHECK(read_csv(run / "curvature.csv", {"epoch"}).size() == 3);
  CHECK(read_tensors(run / "curvature.safetensors").at("epoch").to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{2});
}

TEST_CASE("every epochs below 1 are refused") {
  TinyParts parts;
  CHECK(unexplained([&] { analysis::Curvature curvature(tiny_samples(parts.objective), {.every = 0}); },
                    {"expected at least 1"}) == "nothing");
  CHECK(unexplained(
            [&] { analysis::fixed_samples(parts.objective, tiny_images().train, {}, {.samples = 73}, {}); },
            {"there are 72 images"}) == "nothing");
}

namespace {

struct GoldenPoint {
  GoldenPoint() : objective(net), surface(objective, golden_parts(4), BatchNormMode::eval) {}
  std::vector<analysis::BlockProduct> blocks(int count) const {
    std::vector<analysis::BlockProduct> all;
    for (int i = 0; i < count; ++i)
      all.push_back(
          {.parameters = surface.all_parameters(),
           .vector = Tensor::randn({surface.size()},
                                   {.dtype = DType::f64, .seed = 1, .draw = static_cast<std::uint32_t>(i)}),
           .product = {}});
    return all;
  }
  GoldenNet net;
  Classification objective;
  analysis::LossSurface surface;
};

}  // namespace

TEST_CASE("a journal gives back the products it has, and computes those it has not") {
  const Directory directory;
  const fs::path path = directory.file("products");
  const GoldenPoint point;
  const std::uint64_t function = analysis::function_digest(point.surface);
  int computed = 0;
  const analysis::Products compute = [&](std::span<analysis::BlockProduct> blocks) {
    computed += static_cast<int>(blocks.size());
    point.surface.products(blocks);
  };
  const auto products_of = [&](int count) {
    analysis::ProductJournal journal(path, function);
    std::vector<analysis::BlockProduct> blocks = point.blocks(count);
    journal.products(blocks, compute);
    std::vector<std::vector<double>> products;
    for (const analysis::BlockProduct& block : blocks) products.push_back(block.product.to_vector<double>());
    return products;
  };
  const auto all = products_of(4);
  CHECK(computed == 4);
  CHECK(products_of(4) == all);
  CHECK(computed == 4);

  fs::resize_file(path, fs::file_size(path) - 8);  // killed while it wrote the last one
  CHECK(products_of(4) == all);
  CHECK(computed == 5);

  std::string bytes = contents_of(path);
  bytes[bytes.size() / 2] ^= 1;  // in the second
  std::ofstream(path, std::ios::binary) << bytes;
  CHECK(products_of(4) == all);
  CHECK(computed == 8);
}

TEST_CASE("a file that is no journal is refused, and stays as it is") {
  const Directory directory;
  const fs::path path = directory.file("notes.txt");
  for (const std::string text : {"short", "a text of more than sixteen bytes"}) {
    std::ofstream(path, std::ios::binary) << text;
    CHECK(unexplained([&] { const analysis::ProductJournal journal(path, 1); }, {"no journal of products"}) ==
          "nothing");
    CHECK(contents_of(path) == text);
  }
}

TEST_CASE("a journal of another function is refused") {
  const Directory directory;
  const GoldenPoint point;
  { const analysis::ProductJournal journal(directory.file("products"), 1); }
  CHECK(unexplained(
            [&] {
              const analysis::ProductJournal journal(directory.file("products"),
                                                     analysis::function_digest(point.surface));
            },
            {"of other weights, samples or options"}) == "nothing");
}

TEST_CASE("the function's digest knows weights, statistics, samples and mode") {
  const GoldenPoint point;
  const std::uint64_t before = analysis::function_digest(point.surface);
  for (const char* name : {"conv2.weight", "bn1.running_mean"}) {
    const Tensor value = point.net.parameter(name).value.detach();
    value.data<double>()[1] += 1e-9;
    CHECK(analysis::function_digest(point.surface) != before);
    value.data<double>()[1] -= 1e-9;
  }
  Classification objective(const_cast<GoldenNet&>(point.net));
  const analysis::LossSurface trained(objective, golden_parts(4), BatchNormMode::train),
      whole(objective, golden_parts(8), BatchNormMode::eval);
  CHECK(analysis::function_digest(trained) != before);
  CHECK(analysis::function_digest(whole) != before);
}

}  // namespace lamina::tests
