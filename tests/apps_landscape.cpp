// `lamina landscape`: planes, files, pages, what goes on after it was stopped, what is refused.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/files/safetensors.h"
#include "program.h"

namespace lamina::tests {
namespace {

using nlohmann::json;

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Three trainings of two epochs, with all their checkpoints; made once.
struct Trained {
  Trained() {
    for (const int seed : {1, 2, 3}) {
      const Arguments options{"--optimizer",        "sgd", "--lr",   "0.1",
                              "--checkpoint-steps", "3",   "--seed", std::to_string(seed),
                              "--keep-checkpoints", "100"};
      REQUIRE(run(tiny_training(path(seed)) + options).status == 0);
    }
  }
  fs::path path(int seed) const { return folder / ("run" + std::to_string(seed)); }
  TemporaryFolder folder;
};
const Trained& trained() {
  static const Trained runs;
  return runs;
}

// Of the first runs, on all images that they were trained on.
Arguments landscape(const fs::path& page, int runs, const Arguments& options = {}) {
  Arguments arguments{"landscape"};
  for (int seed = 1; seed <= runs; ++seed) arguments.push_back(trained().path(seed).string());
  return arguments + Arguments{"--limit", "200",         "--size", "5",          "--threads", "1",
                               "-o",      page.string(), "--json", "--progress", "none"} +
         options;
}

json result_of(const Arguments& arguments) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return json::parse(outcome.out);
}

// The loss of a weight file, or of a run's, on the same images.
double loss_of(const fs::path& file) {
  return result_of({"eval", file.string(), "--data", "synthetic:8x8x3x4", "--split", "train", "--limit",
                    "200", "--json"})["loss"];
}

bool refuses(const Arguments& arguments, int status, const std::string& part) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  CHECK(outcome.status == status);
  CHECK(holds(outcome.err, part));
  return outcome.status == status && holds(outcome.err, part);
}

}  // namespace

TEST_CASE("a random plane has the run's own loss in its middle, and a page that says what it is") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const json found = result_of(landscape(folder / "page.html", 1));
  CHECK(found["loss"].size() == 5);
  CHECK(found["loss"][2].size() == 5);
  const double own = loss_of(trained().path(1));
  CHECK(found["loss"][2][2] == found["points"][0]["loss"]);
  CHECK(found["loss"][2][2].get<double>() == Approx(own).epsilon(1e-6));  // other batches round otherwise
  CHECK(found["loss"][2][2] != found["loss"][2][3]);
  CHECK(found["plane"] == "random");
  CHECK(found["bn_stats"] == "kept");
  CHECK(found["samples"] == 200);
  CHECK(std::abs(found["cosine"].get<double>()) < 0.1);
  CHECK(found["axes"][0]["first"] == -1);
  // Filters are as long as the network's; what does not move makes the weights a little longer.
  CHECK(found["axes"][1]["direction_norm"] < found["weight_norm"]);
  CHECK(found["axes"][1]["direction_norm"] > 0.5 * found["weight_norm"].get<double>());
  const std::string page = read_file(folder / "page.html");
  for (const char* part : {"Li et al. 2018", "200 training images of synthetic", "cosine between them",
                           "running statistics kept", "a from -1 to 1", "--plane random"})
    CHECK(holds(page, part));
  CHECK_FALSE(holds(page, "src="));
  CHECK_FALSE(holds(page, "href=\"http"));
}

TEST_CASE("the plane of eigenvectors says their eigenvalues; a line is of the first") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const json plane = result_of(landscape(folder / "plane.html", 1, {"--plane", "eigen"}));
  const std::vector<double> values = plane["eigenvalues"], residuals = plane["residuals"];
  CHECK(values[0] > values[1]);
  CHECK(residuals[0] < 0.01 * values[0]);
  CHECK(plane["axes"][1]["direction_norm"].get<double>() == Approx(1).epsilon(1e-6));  // f32
  CHECK(plane["axes"][1]["last"] == 0.5);
  CHECK(std::abs(plane["cosine"].get<double>()) < 1e-3);
  CHECK(holds(read_file(folder / "plane.html"), fmt::format("eigenvector of {:.4g}", values[0])));
  const json line = result_of(landscape(folder / "line.html", 1, {"--plane", "eigen", "--dimensions", "1"}));
  CHECK(line["eigenvalues"].size() == 1);
  CHECK(line["eigenvalues"][0].get<double>() == Approx(values[0]).epsilon(0.01));  // to its residual
  CHECK(line["loss"][2] == plane["loss"][2][2]);
  CHECK(line.contains("cosine") == false);
}

TEST_CASE("the way of a training is drawn in the plane of its principal components, at its true losses") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const json found = result_of(landscape(folder / "page.html", 1, {"--plane", "pca"}));
  REQUIRE(found["points"].size() == 4);  // of steps 3, 6, 9 and 12
  CHECK(found["points"][0]["label"] == "step 3");
  CHECK(found["points"][1]["label"] == "epoch 1");
  CHECK(found["points"][3]["coordinates"] == json{0.0, 0.0});
  CHECK(found["explained"][0] > found["explained"][1]);
  CHECK(found["explained"][0].get<double>() + found["explained"][1].get<double>() < 1);
  const double first = loss_of(trained().path(1) / "checkpoint-3.safetensors");
  CHECK(found["points"][0]["loss"].get<double>() == Approx(first).epsilon(1e-6));
  CHECK(holds(read_file(folder / "page.html"), "explained variance"));
}

TEST_CASE("planes through runs have barriers between them; running statistics are estimated or moved") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const json three = result_of(landscape(folder / "three.html", 3));
  CHECK(three["plane"] == "runs");
  CHECK(three["bn_stats"] == "estimated");
  REQUIRE(three["barriers"].size() == 3);
  for (const json& barrier : three["barriers"]) {
    const std::vector<double> loss = barrier["loss"];
    double height = 0;
    for (int i = 0; i < 5; ++i) height = std::max(height, loss[i] - (loss[0] + (loss[4] - loss[0]) * i / 4));
    CHECK(barrier["barrier"].get<double>() == Approx(height).epsilon(1e-12));
  }
  CHECK(holds(read_file(folder / "three.html"), "Loss barriers"));

  const json two = result_of(landscape(folder / "two.html", 2, {"--bn-stats", "moved"}));
  CHECK(two["axes"].size() == 1);
  CHECK(two["loss"].size() == 5);
  const std::vector<double> way = two["barriers"][0]["loss"];
  // Moved statistics are at the runs their own; the way there and back rounds in f32.
  CHECK(way[0] == Approx(loss_of(trained().path(1))).epsilon(1e-4));
  CHECK(way[4] == Approx(loss_of(trained().path(2))).epsilon(1e-4));
}

TEST_CASE("a landscape that was killed or stopped goes on, and ends as one that was not") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const Arguments options{"--size", "15", "--plane", "eigen"};
  json whole = result_of(landscape(folder / "whole.html", 1, options));
  const fs::path points = folder / "stopped-points/points.csv";
  for (const int signal : {SIGKILL, SIGINT}) {
    Program program(landscape(folder / "stopped.html", 1, options));
    const std::string before = fs::exists(points) ? read_file(points) : "";
    REQUIRE(wait_until([&] { return fs::exists(points) && read_file(points).size() > before.size() + 200; }));
    program.kill(signal);
    const Outcome outcome = program.wait();
    CHECK(outcome.status == 128 + signal);
    CHECK(read_file(points).starts_with(before.substr(0, before.rfind('\n') + 1)));
    if (signal == SIGINT) CHECK(holds(outcome.err, "To go on:\n  lamina landscape"));
  }
  REQUIRE(!fs::exists(folder / "stopped.html"));
  json stopped = result_of(landscape(folder / "stopped.html", 1, options));
  CHECK(read_file(points) == read_file(folder / "whole-points/points.csv"));
  stopped["page"] = whole["page"] = "";
  CHECK(stopped == whole);
  CHECK(result_of(landscape(folder / "stopped.html", 1, options + Arguments{"--threads", "3"}))["loss"] ==
        whole["loss"]);
}

TEST_CASE("landscapes that make no sense are refused before the first point") {
  const TemporaryFolder folder;
  const fs::path page = folder / "page.html", run1 = trained().path(1);
  CHECK(refuses(landscape(page, 1, {"--plane", "egen"}), 2, "did you mean eigen?"));
  CHECK(refuses(landscape(page, 1, {"--bn-stats", "moved"}), 2, "expected kept or estimated"));
  CHECK(refuses(landscape(page, 2, {"--seed", "2"}), 2, "nothing is drawn for --plane runs"));
  CHECK(refuses(landscape(page, 1, {"--bn-stats", "est"}), 2, "--bn-stats est"));
  CHECK(refuses(landscape(page, 2, {"--plane", "pca"}), 2, "2 runs given; expected 1"));
  CHECK(refuses(landscape(page, 1, {"--plane", "runs"}), 2, "expected 2"));
  CHECK(refuses(landscape(page, 3, {"--dimensions", "1"}), 2, "3 runs span 2"));
  CHECK(refuses(landscape(page, 1, {"--limit", "20000"}), 2, "there are 200 images; expected no more"));
  CHECK(refuses({"landscape", (folder / "none").string()}, 1, "no such file or run directory"));
  CHECK(refuses({"landscape", (run1 / "weights.safetensors").string()}, 2, "--data NAME[:DIR] is missing"));
  CHECK(refuses({"landscape", run1.string(), run1.string(), "--limit", "8", "-o", page.string()}, 1,
                "the same weights"));

  const Arguments other{"--model", "resnet14", "--epochs", "1"};
  REQUIRE(run(tiny_training(folder / "other") + other).status == 0);
  CHECK(
      refuses({"landscape", run1.string(), (folder / "other").string(), "--limit", "8", "-o", page.string()},
              1, "a resnet8 (cifar stem, shortcut A)"));
  CHECK(refuses(
      {"landscape", (folder / "other").string(), "--plane", "pca", "--limit", "8", "-o", page.string()}, 1,
      "--keep-checkpoints 1000"));
  TensorFile file = read_tensors(run1 / "weights.safetensors");
  file.tensors.back().second.data<float>()[0] = std::nanf("");
  write_tensors(folder / "nan.safetensors", file);
  CHECK(refuses({"landscape", run1.string(), (folder / "nan.safetensors").string(), "--limit", "8", "-o",
                 page.string()},
                1, "nan.safetensors: "));
  CHECK(!fs::exists(page));
}

TEST_CASE("a page's points are of one landscape; the folder of another is not touched") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path page = folder / "page.html";
  (void)result_of(landscape(page, 1));
  const std::string points = read_file(folder / "page-points/points.csv");
  CHECK(refuses(landscape(page, 1, {"--seed", "2"}), 1, "(seed 1 there, 2 here)"));
  CHECK(refuses(landscape(page, 1, {"--bn-stats", "estimated"}), 1, "bn_stats"));
  CHECK(refuses(landscape(page, 1, {"--size", "4"}), 1, "size 5 there, 4 here"));
  CHECK(refuses(landscape(page, 1, {"--range", "2"}), 1, "range"));
  CHECK(refuses(landscape(folder.path(), 1), 1, "it is a folder"));
  CHECK(refuses(landscape(page, 1, {"--limit", "32"}), 1, "samples 200 there, 32 here"));
  CHECK(read_file(folder / "page-points/points.csv") == points);
  fs::remove(folder / "page-points/plane.safetensors");  // large; the points are still those of seed 1
  CHECK(refuses(landscape(page, 1, {"--seed", "2"}), 1, "(seed 1 there, 2 here)"));
  fs::create_directory(folder / "mine-points");
  std::ofstream(folder / "mine-points/notes.txt") << "mine";
  CHECK(refuses(landscape(folder / "mine.html", 1), 1, "not the folder of a landscape"));
}

}  // namespace lamina::tests
