// What lamina report makes of the curvature that runs measured: curves, maps, spectra.
#include <cmath>

#include "core/base/csv.h"
#include "made_up_curvature.h"
#include "reported_study.h"

namespace lamina::tests {
namespace {

using Rows = std::vector<std::vector<double>>;
using Cells = std::vector<std::string>;

struct MadeUpOptimizer {
  std::string name;
  std::vector<std::pair<std::string, std::string>> knobs;
};

// The edge of stability of a run of each, named without commas, which read_csv() would take for more cells.
std::string report_of(const TemporaryFolder& folder, const std::vector<MadeUpOptimizer>& optimizers) {
  std::vector<compare::RunResult> results;
  for (const auto& [optimizer, knobs] : optimizers) {
    train::Recipe options = tiny_options();
    options.optimizer = optimizer;
    const fs::path path = folder / fmt::format("run-{}", results.size());
    write_run(path, options, {{2, 0.5}, {1, 0.6}});
    set_knobs(path, knobs);
    write_curvature(path);
    results.push_back(compare::read_run_result(path, path.filename()));
  }
  compare::write_report(results, folder / "r.html");
  return read_file(folder / "r.html");
}

}  // namespace

TEST_CASE("the report draws the curvature over the epochs", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  CHECK_FALSE(contains(study.report(), "<h2>Curvature</h2>"));  // nobody measured it
  write_curvature(study.run("lars-1"));
  write_curvature(study.run("lars-2"), {.scale = 3});
  const std::string html = study.report();
  CHECK(contains(html, "<h2>Curvature</h2>"));
  CHECK(contains(html, "Measured with batch norm by running statistics, 128 samples."));
  // Means of 4, 8, 64 and three times as much; deviations are 2 · 4, 8, 64 / √2.
  const Rows rows = read_csv(study.files / "lambda-1.csv", {"contender", "epoch", "mean", "std", "runs"});
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == std::vector<double>{1, 0, 8, std::sqrt(32.0), 2});
  CHECK(rows[2] == std::vector<double>{1, 2, 128, std::sqrt(8192.0), 2});
  CHECK(contains(read_file(study.files / "lambda-1.gp"), "set logscale y"));
  CHECK_FALSE(contains(read_file(study.files / "trace.gp"), "set logscale y"));       // 10 to 30
  CHECK_FALSE(contains(read_file(study.files / "lambda-min.gp"), "set logscale y"));  // negative
  CHECK(fs::exists(study.files / "frobenius.svg"));
  CHECK_FALSE(fs::exists(study.files / "edge-of-stability.csv"));  // LARS has other rates
  CHECK(contains(html, "<th>λ₁</th>"));
  CHECK(contains(html, "<td>128 ± 91</td>"));
  CHECK(read_csv(study.files / "comparison.csv", {"lambda_1", "lambda_1_std"})[0][0] == 128);

  SECTION("layer by layer") {
    auto map = read_map(study.files / "scaled-layer-trace-1.csv");
    CHECK(map.at("layer") == Cells{"0", "1", "2"});
    CHECK(map.at("conv1") == Cells{"20", "24", "28"});
    CHECK(map.at("fc") == Cells{"36", "", "72"});  // a negative estimate
    CHECK(map.size() == 1 + 2);                    // no normalisation
    CHECK(read_map(study.files / "layer-trace-1.csv").at("fc") == Cells{"4", "", "8"});
    CHECK(contains(html, "blank is an estimate that is negative or zero"));
    CHECK(contains(html, "No maps of tvlars (trained without sharpness_every"));
    study.report("", {.all_layers = true});
    map = read_map(study.files / "layer-trace-1.csv");
    CHECK(map.at("bn1") == Cells{"1", "1", "1"});
    CHECK(map.count("conv1.weight") == 1);
  }
  SECTION("the largest eigenvalues of the layers, where they were measured") {
    CHECK_FALSE(fs::exists(study.files / "layer-edge-1.csv"));
    write_curvature(study.run("lars-1"), {.layer_eigenvalues = true});
    CHECK(contains(study.report(), "γ_k λ₁(H_kk)"));
    CHECK(read_map(study.files / "scaled-layer-eigenvalue-1.csv").at("fc") == Cells{"18", "18", "18"});
    CHECK(read_map(study.files / "layer-edge-1.csv").at("conv1") == Cells{"", "1.5", "1.5"});
  }
  SECTION("a band that reaches below zero ends with the logarithmic axis") {
    write_curvature(study.run("lars-2"), {.scale = 99});
    study.report();  // 4 and 396: 200 ± 277
    const std::string script = read_file(study.files / "lambda-1.gp");
    CHECK(contains(script, "set yrange [100 : *]"));
    CHECK(
        contains(script, "(column(\"mean\") > column(\"std\") ? column(\"mean\") - column(\"std\") : 100)"));
  }
  SECTION("contenders measured in different ways are said to be so") {
    write_curvature(study.run("tvlars-2"), {.bn = "train", .samples = "64"});
    CHECK(
        contains(study.report(),
                 "<b>Measured in different ways, so that levels do not compare</b>: lars with batch norm by "
                 "running statistics, 128 samples; tvlars with batch norm by each batch’s statistics, 64 "
                 "samples."));
  }
  SECTION("seeds measured in different ways have no mean") {
    write_curvature(study.run("lars-2"), {.scale = 3, .samples = "64"});
    const std::string mixed = study.report();
    CHECK(contains(mixed, "Not drawn: lars: its runs were measured in different ways"));
    CHECK_FALSE(fs::exists(study.files / "lambda-1.csv"));
    CHECK(contains(mixed, "<td>192</td>"));  // of one run, in the table of runs
    CHECK_FALSE(contains(mixed, "<td>128"));
  }
}

TEST_CASE("the edge of stability is drawn for SGD alone", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const std::string html = report_of(folder, {{"sgd", {{"momentum", "0.9"}, {"nesterov", "false"}}},
                                              {"sgd:pytorch", {{"momentum", "0.5"}, {"nesterov", "true"}}},
                                              {"lars", {{"momentum", "0.9"}}},
                                              {"sgd", {{"momentum", "a lot"}}}});
  const Rows rows = read_csv(folder / "r-files" / "edge-of-stability.csv", {"contender", "epoch", "mean"});
  // λ₁ γ / (2 (1 + m)); with Nesterov's momentum times 1 + 2 m. Nothing before the first step.
  const Rows expected{
      {1, 1, 8 * 0.1 / 3.8}, {1, 2, 64 * 0.2 / 3.8}, {2, 1, 8 * 0.1 * 2 / 3}, {2, 2, 64 * 0.2 * 2 / 3}};
  REQUIRE(rows.size() == expected.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i][0] == expected[i][0]);
    CHECK(rows[i][1] == expected[i][1]);
    CHECK(std::abs(rows[i][2] / expected[i][2] - 1) < 1e-14);  // products in another order
  }
  CHECK(contains(read_file(folder / "r-files" / "edge-of-stability.gp"), "  1 with lines"));
  CHECK(contains(html, "Dashed: 1, the edge of stability"));
}

TEST_CASE("damaged files of the curvature are told of", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_curvature(study.run("tvlars-2"));
  SECTION("a cell that is no number") {
    std::ofstream(study.run("tvlars-2") / "curvature.csv")
        << "epoch,lambda_1,lambda_min,trace,frobenius,lr\n0,many,1,1,1,1\n";
    CHECK(contains(study.report(), "Not drawn: "));
    CHECK(contains(read_file(study.page), "curvature.csv"));
    CHECK_FALSE(fs::exists(study.files / "lambda-1.csv"));
  }
  SECTION("tensors cut short: the curves are there, but not how they were measured") {
    fs::resize_file(study.run("tvlars-2") / "curvature.safetensors", 20);
    const std::string html = study.report();
    CHECK(contains(html, "Measured with batch norm in an unknown mode, an unknown number of samples."));
    CHECK(contains(html, "No maps of tvlars (" + (study.run("tvlars-2") / "curvature.safetensors").string()));
    CHECK(fs::exists(study.files / "lambda-1.csv"));
  }
  SECTION("tensors that do not fit one another") {
    TensorFile file;
    file.metadata["layers"] = R"(["fc.weight"])";
    file.tensors.emplace_back("epoch", Tensor::from(std::vector<std::int32_t>{0, 1}, {2}));
    for (const char* name : {"weight_norm", "trace"})
      file.tensors.emplace_back(name, Tensor::from(std::vector<float>{1, 2, 3}, {3, 1}));
    write_tensors(study.run("tvlars-2") / "curvature.safetensors", file);
    CHECK(contains(study.report(), "expected 2 measurements × 1 layers"));
  }
  SECTION("one layer, measured once, or of one step is a map") {
    write_trace(study.run("lars-1"), {.steps = 1, .layers = {"fc.weight"}, .kinds = {"weight"}});
    TensorFile file;
    file.metadata["layers"] = R"(["fc.weight"])";
    file.tensors.emplace_back("epoch", Tensor::from(std::vector<std::int32_t>{0}, {1}));
    for (const char* name : {"weight_norm", "trace"})
      file.tensors.emplace_back(name, Tensor::from(std::vector<float>{3}, {1, 1}));
    write_tensors(study.run("tvlars-2") / "curvature.safetensors", file);
    study.report();
    CHECK(read_map(study.files / "scaled-layer-trace-2.csv").at("fc") == Cells{"27"});
    CHECK(read_map(study.files / "weight-norm-1.csv").at("fc") == Cells{"1"});
  }
}

TEST_CASE("the report shows the spectra that lamina sharpness left", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_sharpness(study.run("lars-2"));
  const std::string html = study.report();
  CHECK(contains(html, "<h3>Spectra</h3>"));
  CHECK(contains(html, "<td>100 ± 0.25<br>50.5 ± 0.5</td><td>-3 ± 0.12</td><td>300 ± 20</td><td>120</td>"));
  CHECK(contains(html, "batch norm by each batch’s statistics, 2,048 samples (train)"));
  CHECK(contains(html, "each node is a Gaussian with σ = 1,"));
  const Rows density = read_csv(study.files / "density.csv", {"contender", "eigenvalue", "mean"});
  REQUIRE(density.size() > 2);
  double sum = 0, peak = 0;
  for (const auto& row : density) {
    CHECK(row[0] == 1);
    sum += row[2] * (density[1][1] - density[0][1]);
    peak = std::max(peak, row[2]);
  }
  CHECK(std::abs(sum - 1) < 2e-3);  // 0.00135 lie beyond 3 σ
  // The grid passes a peak by at most 0.09 σ, where it is 0.4 % lower.
  CHECK(std::abs(peak / (0.5 / std::sqrt(2 * 3.14159265)) - 1) < 5e-3);

  SECTION("what another measured otherwise is said to be") {
    nlohmann::json other = made_up_sharpness();
    other["bn"] = "eval";
    other["converged"] = false;
    other.erase("trace");
    write_sharpness(study.run("tvlars-2"), other);
    const std::string both = study.report();
    CHECK(contains(both, "<b>Measured in different ways, so that they do not compare</b>: lars with"));
    CHECK(contains(both, "(not converged)</td><td>-3 ± 0.12</td><td>–</td><td>120</td>"));
  }
  SECTION("damaged files are told of") {
    for (const auto& [text, problem] : std::vector<std::pair<std::string, std::string>>{
             {"{\"bn\": ", "sharpness.json: not a JSON object; expected what lamina sharpness writes"},
             {"{\"bn\": \"eval\"}", "sharpness.json: not what lamina sharpness writes"},
             {"{\"bn\": \"eval\", \"eigenvalues\": [1], \"residuals\": []}", "1 eigenvalues and 0 residuals"},
             {"{\"bn\": \"eval\", \"eigenvalues\": [1], \"residuals\": [0], \"density\": [[1, 7]]}",
              "holds the node [1,7]"},
             {"{\"bn\": \"eval\", \"eigenvalues\": [1], \"residuals\": [0], \"trace\": 3}",
              "not what lamina sharpness writes"}}) {
      INFO(text);
      std::ofstream(study.run("lars-2") / "sharpness.json") << text;
      CHECK(contains(study.report(), problem));
      CHECK_FALSE(fs::exists(study.files / "density.csv"));
    }
  }
  SECTION("a single eigenvalue has a range, too") {
    nlohmann::json one = made_up_sharpness();
    one["density"] = nlohmann::json::parse("[[2, 1]]");
    write_sharpness(study.run("lars-2"), one);
    CHECK(contains(study.report(), "σ = 0.01,"));
  }
}

}  // namespace lamina::tests
