// The page of lamina report: what is on it, what its figures are made of, and what goes wrong.
#include "apps/report.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "apps/csv.h"
#include "apps_runs.h"
#include "catch.h"
#include "core/safetensors.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// "" if every tag is closed by its own kind, in order; else the first that is not.
std::string first_unbalanced_tag(const std::string& html) {
  static const std::set<std::string> without_end{"meta", "br", "!DOCTYPE"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string::npos) return html.substr(at, 30);
    const bool closes = html[at + 1] == '/';
    const std::size_t begin = at + (closes ? 2 : 1);
    const std::string name = html.substr(begin, html.find_first_of(" \n>/", begin) - begin);
    if (closes) {
      if (open.empty() || open.back() != name) return html.substr(at, 30);
      open.pop_back();
    } else if (html[end - 1] != '/' && without_end.count(name) == 0) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : open.back();
}

struct TraceOptions {
  std::int64_t steps = 4;
  std::vector<std::string> layers = {"conv1.weight", "bn1.weight", "fc.weight"};
  std::vector<std::string> kinds = {"weight", "norm", "weight"};
  double scale = 1;
};

// Quantity q of layer l at step t (from 0) is scale · (q + 1) · (l + 1) · (t + 1).
void write_trace(const fs::path& run, const TraceOptions& o = {}) {
  TensorFile file;
  file.metadata["layers"] = nlohmann::json(o.layers).dump();
  if (!o.kinds.empty()) file.metadata["kinds"] = nlohmann::json(o.kinds).dump();
  std::vector<std::int32_t> steps;
  for (std::int64_t t = 0; t < o.steps; ++t) steps.push_back(static_cast<std::int32_t>(t + 1));
  file.tensors.emplace_back("step", Tensor::from(steps, {o.steps}));
  int q = 0;
  for (const char* name : {"weight_norm", "grad_norm", "update_norm", "ratio", "trust"}) {
    ++q;
    std::vector<float> values;
    for (const std::int32_t step : steps) {
      for (std::size_t l = 1; l <= o.layers.size(); ++l) {
        values.push_back(static_cast<float>(o.scale * q * static_cast<double>(l) * step));
      }
    }
    const auto layers = static_cast<std::int64_t>(o.layers.size());
    file.tensors.emplace_back(name, Tensor::from(values, {o.steps, layers}));
  }
  write_tensors(run / "trace.safetensors", file);
}

// Two contenders: LARS with two seeds, TVLARS with one.
struct Study {
  TemporaryFolder folder;
  fs::path page = folder / "out.html", files = folder / "out-files";

  Study() {
    TrainOptions options = tiny_options();
    options.optimizer = "lars";
    write_run(folder / "runs" / "lars-1", options, {{2.0, 0.50}, {1.0, 0.40}});
    options.seed = 2;
    write_run(folder / "runs" / "lars-2", options, {{2.0, 0.50}, {2.0, 0.60}});
    options.optimizer = "tvlars";
    write_run(folder / "runs" / "tvlars-2", options, {{2.0, 0.25}, {1.5, 0.70}});
  }
  fs::path run(const std::string& name) const { return folder / "runs" / name; }
  std::vector<RunResult> results(const std::string& label = "") const {
    std::vector<RunResult> runs;
    for (const char* name : {"lars-1", "lars-2", "tvlars-2"}) {
      const bool last = std::string(name) == "tvlars-2";
      runs.push_back(read_run_result(run(name), last ? label : ""));
    }
    return runs;
  }
  std::string report(const std::string& label = "", const ReportOptions& options = {}) const {
    write_report(results(label), page, options);
    return read_file(page);
  }
  Outcome command(const Arguments& more = {}) const {
    return tests::run(Arguments{"report", (folder / "runs").string(), "-o", page.string()} + more);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

// Another $PATH while it lives.
class PathVariable {
 public:
  explicit PathVariable(const std::string& value) {
    if (const char* before = std::getenv("PATH")) before_ = before;
    ::setenv("PATH", value.c_str(), 1);
  }
  ~PathVariable() { ::setenv("PATH", before_.c_str(), 1); }
  PathVariable(const PathVariable&) = delete;
  PathVariable& operator=(const PathVariable&) = delete;

 private:
  std::string before_;
};

// Whether the case must end, since it needs gnuplot, which is not installed.
bool gnuplot_is_missing() {
  static const bool missing = std::system("gnuplot --version >/dev/null 2>&1") != 0;
  if (missing) WARN("skipped: gnuplot is not installed");
  return missing;
}

void write_program(const fs::path& path, const std::string& script) {
  std::ofstream(path) << "#!/bin/sh\n" << script;
  fs::permissions(path, fs::perms::owner_all);
}

// Rows of a map's CSV: layer → its cells as text.
std::map<std::string, std::vector<std::string>> read_map(const fs::path& path) {
  std::map<std::string, std::vector<std::string>> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells(1);
    for (const char c : line) {
      if (c == ',') cells.emplace_back();
      if (c != ',' && c != '"') cells.back() += c;
    }
    rows[cells.front()] = {cells.begin() + 1, cells.end()};
  }
  return rows;
}

}  // namespace

TEST_CASE("the report is one whole page that needs nothing else", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  write_trace(study.run("lars-1"));
  const std::string html = study.report("", {.title = "A & B", .introduction = "One <1>.\n\nTwo."});
  CHECK(first_unbalanced_tag(html).empty());
  CHECK(first_unbalanced_tag("<p><b></p></b>") == "</p></b>");  // the check itself
  for (const char* outside : {"src=", "@import", "url(", "<script", "<link"}) {
    INFO(outside);
    CHECK_FALSE(contains(html, outside));
  }
  CHECK(contains(html, "<title>A &amp; B</title>"));
  CHECK(contains(html, "<p>One &lt;1&gt;.</p>\n<p>Two.</p>"));
  CHECK(count(html, "<figure>") == 5 + 5);  // curves, and the maps of the traced contender
  CHECK(count(html, "aria-label") == 5 + 5);
  CHECK(contains(html, "No maps of"));  // of the untraced one
  for (const auto& entry : fs::directory_iterator(study.files)) CHECK(entry.path().extension() != ".tmp");
  CHECK(study.names() == std::vector<std::string>{"out-files", "out.html", "runs"});
}

TEST_CASE("the report says what was compared and how sure the result is", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  const std::string html = study.report();
  CHECK(contains(
      html, "2 contenders: resnet8 on cifar10 (100 training images), batch 128, 2 epochs, 1 to 2 seeds"));
  CHECK(contains(html, "Most accurate is <b>tvlars</b>: 70.00 %, 15.00 points above lars (55.00 ± 7.07 %)"));
  CHECK(contains(html, "With a single seed the spread is unknown"));
  CHECK(contains(html, "<b>70.00</b>"));
  CHECK(contains(html, "<td>1.5 ± 0.7</td>"));  // LARS' best epochs, 1 and 2

  SECTION("a difference within the spread is no result") {
    TrainOptions options = tiny_options();
    options.seed = 1;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.45}});
    std::vector<RunResult> runs = study.results();
    runs.push_back(read_run_result(study.run("tvlars-1")));
    write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "these runs do not tell the two apart"));
  }
  SECTION("accuracies on other images are not compared") {
    TrainOptions options = tiny_options();
    options.limit_test = 10;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.99}});
    std::vector<RunResult> runs = study.results();
    runs.push_back(read_run_result(study.run("tvlars-1")));
    write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "tested on different images, so their accuracies do not compare"));
    CHECK_FALSE(contains(read_file(study.page), "Most accurate"));
  }
  SECTION("images of another size are mentioned") {
    TrainOptions options = tiny_options();
    options.image_size = 64;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.45}});
    std::vector<RunResult> runs = study.results();
    runs.push_back(read_run_result(study.run("tvlars-1")));
    write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "(100 training images), --image-size 0 and 64, batch 128"));
  }
  SECTION("a run given twice counts once") {
    std::vector<RunResult> runs = study.results();
    runs.push_back(read_run_result(study.run("lars-1") / "."));
    write_report(runs, study.page);
    CHECK(read_file(study.page) == html);
  }
  SECTION("a failed run is shown as such") {
    std::ofstream(study.run("lars-2") / "failure.txt") << "training <diverged>\n";
    const std::string failed = study.report();
    CHECK(contains(failed, "1 of 2, 1 failed: training &lt;diverged&gt;"));
    CHECK(contains(failed, "<b>1 run is not complete</b> and left out of the averages"));
  }
}

TEST_CASE("the curves' data are those of the runs", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  study.report();
  using Rows = std::vector<std::vector<double>>;
  const std::vector<std::string> columns{"contender", "epoch", "mean", "std", "runs"};
  const Rows accuracy = read_csv(study.files / "test-accuracy.csv", columns);
  // Of 40 and 60: mean 50, deviations ∓10, std √200. Formatted and read back with no rounding; 100 · 0.6
  // rounds once.
  CHECK(accuracy[0] == std::vector<double>{1, 1, 50, 0, 2});
  CHECK(accuracy[1][2] == Approx(50).epsilon(1e-15));
  CHECK(accuracy[1][3] == Approx(std::sqrt(200.0)).epsilon(1e-14));
  CHECK(accuracy[2] == std::vector<double>{2, 1, 25, 0, 1});
  CHECK(accuracy.size() == 4);
  const Rows loss = read_csv(study.files / "train-loss.csv", columns);
  CHECK(loss[1] == std::vector<double>{1, 2, 1.5, std::sqrt(0.5), 2});  // of 1 and 2
  CHECK(loss[3] == std::vector<double>{2, 2, 1.5, 0, 1});

  const Rows steps = read_csv(study.run("tvlars-2") / "steps.csv", {"step", "lr", "phi"});
  const Rows lr = read_csv(study.files / "learning-rate.csv", {"contender", "step", "mean"});
  const Rows phi = read_csv(study.files / "phi.csv", {"contender", "step", "mean"});
  const Rows product = read_csv(study.files / "lr-phi.csv", {"contender", "step", "mean"});
  REQUIRE(lr.size() == 8);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    CHECK(lr[4 + i] == std::vector<double>{2, steps[i][0], steps[i][1]});
    CHECK(phi[4 + i] == std::vector<double>{2, steps[i][0], steps[i][2]});
    CHECK(product[4 + i] == std::vector<double>{2, steps[i][0], steps[i][1] * steps[i][2]});
  }
}

TEST_CASE("the maps' data are those of the traces, on one colour scale", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  write_trace(study.run("lars-1"));
  write_trace(study.run("tvlars-2"),
              {.steps = 700, .layers = {"conv1.weight"}, .kinds = {"weight"}, .scale = 10});
  study.report();
  SECTION("weights only, step by step") {
    const auto map = read_map(study.files / "grad-norm-1.csv");
    CHECK(map.at("layer") == std::vector<std::string>{"1", "2", "3", "4"});
    CHECK(map.at("conv1") == std::vector<std::string>{"2", "4", "6", "8"});
    CHECK(map.at("fc") == std::vector<std::string>{"6", "12", "18", "24"});
    CHECK(map.size() == 3);
  }
  SECTION("all layers when asked, under their whole names") {
    study.report("", {.all_layers = true});
    CHECK(read_map(study.files / "trust-1.csv").at("bn1.weight") ==
          std::vector<std::string>{"10", "20", "30", "40"});
  }
  SECTION("many steps are averaged, none left out") {
    const auto map = read_map(study.files / "weight-norm-2.csv");
    const std::vector<std::string>& values = map.at("conv1");
    REQUIRE(values.size() == 300);
    CHECK(values[0] == "15");      // steps 1 and 2: 10 and 20
    CHECK(values[1] == "35");      // 3 and 4
    CHECK(values[2] == "60");      // 5 to 7
    CHECK(values[299] == "6990");  // 698 to 700
    CHECK(contains(read_file(study.page), "700 steps to 300 columns"));
  }
  SECTION("from the least of all contenders to the most") {
    for (const char* name : {"weight-norm-1.gp", "weight-norm-2.gp"}) {
      CHECK(contains(read_file(study.files / name), "set cbrange [1 : 6990]"));
    }
  }
}

TEST_CASE("what has no logarithm is left blank, and old traces are shown whole", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  write_trace(study.run("lars-1"), {.steps = 2, .kinds = {}, .scale = 0});
  write_trace(study.run("tvlars-2"), {.steps = 2, .kinds = {}, .scale = NAN});
  CHECK(contains(study.report(), "trust ratios here"));  // nothing to show: no map at all
  write_trace(study.run("tvlars-2"), {.steps = 2, .kinds = {}});
  study.report();
  CHECK(read_map(study.files / "ratio-1.csv").at("bn1.weight") == std::vector<std::string>{"", ""});
  CHECK(read_map(study.files / "ratio-2.csv").at("bn1.weight") == std::vector<std::string>{"8", "16"});
}

TEST_CASE("any label and layer name is drawn as it is", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  const std::string name = R"(_a^{b}@c'd"e%f\n<g>&`h`)";
  write_trace(study.run("tvlars-2"), {.layers = {name}, .kinds = {}});
  const std::string html = study.report(name);
  CHECK(contains(html, "_a^{b}@c&#39;d&quot;e%f\\n&lt;g&gt;&amp;`h`"));
  CHECK(first_unbalanced_tag(html).empty());
  const std::string drawn = "_a^{b}@c'd\"e%f\\n&lt;g>&amp;`h`";  // in SVG neither > nor quotes need an escape
  CHECK(contains(read_file(study.files / "test-accuracy.svg"), drawn));
  CHECK(contains(read_file(study.files / "trust-2.svg"), drawn));

  write_trace(study.run("tvlars-2"), {.layers = {"two\nlines"}, .kinds = {}});
  const std::string command = "`touch '" + (study.folder / "touched").string() + "'`";
  study.report(command);
  CHECK(contains(read_file(study.files / "trust-2.svg"), "two lines"));
  CHECK_FALSE(fs::exists(study.folder / "touched"));
}

TEST_CASE("a legend's text is cut to the width of the figure", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  std::string label;
  for (int i = 0; i < 60; ++i) label += "φ";
  study.report(label);
  CHECK(contains(read_file(study.files / "test-accuracy.svg"), label));
  const std::string html = study.report(label + "φ");
  const std::string svg = read_file(study.files / "test-accuracy.svg");
  CHECK_FALSE(contains(svg, label));
  CHECK(contains(svg, label.substr(0, label.size() - std::string("φ").size()) + "…"));
  CHECK(contains(html, label + "φ"));
}

TEST_CASE("a figure can be drawn anew, for a paper", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  write_trace(study.run("lars-1"));
  study.report();
  for (const std::string name : {"test-accuracy", "weight-norm-1"}) {
    for (const std::string ending : {"pdf", "png", "svg"}) {
      const std::string picture = "again." + ending;
      const std::string command = fmt::format("cd '{}' && gnuplot -e \"picture='{}'\" {}.gp 2>/dev/null",
                                              study.files.string(), picture, name);
      INFO(command);
      CHECK(std::system(command.c_str()) == 0);
      const std::string magic = ending == "pdf" ? "%PDF" : ending == "png" ? "\x89PNG" : "<?xml";
      CHECK(read_file(study.files / picture).starts_with(magic));
      fs::remove(study.files / picture);
    }
  }
}

TEST_CASE("a report replaces an earlier one but not what others put there", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  study.report();
  std::ofstream(study.files / "mine.pdf") << "mine";
  std::ofstream(study.files / "trust-9.svg") << "of the earlier one";
  study.report("", {.title = "Second"});
  CHECK(contains(read_file(study.page), "<h1>Second</h1>"));
  CHECK(read_file(study.files / "mine.pdf") == "mine");
  CHECK_FALSE(fs::exists(study.files / "trust-9.svg"));

  SECTION("and nothing where the folder is not a report's") {
    fs::remove(study.files / "comparison.csv");
    CHECK(unexplained([&] { study.report(); }, {"out-files", "not the folder of an earlier report"}) ==
          "nothing");
    CHECK(fs::exists(study.files / "test-accuracy.svg"));
  }
}

TEST_CASE("runs without results make a report all the same", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  write_run(folder.path() / "run", tiny_options(), {});
  const fs::path page = folder.path() / "report.html";
  const auto report = [&] {
    write_report({read_run_result(folder.path() / "run")}, page);
    return read_file(page);
  };
  SECTION("without an epoch") { CHECK(contains(report(), "No run has finished an epoch")); }
  SECTION("with its configuration only") {
    fs::remove(folder.path() / "run" / "epochs.csv");
    fs::remove(folder.path() / "run" / "steps.csv");
    CHECK(contains(report(), "0 of 1, 1 unfinished"));
  }
  SECTION("with a damaged trace") {
    write_run(folder.path() / "run", tiny_options(), {{2.0, 0.5}});
    write_trace(folder.path() / "run");
    fs::resize_file(folder.path() / "run" / "trace.safetensors", 500);
    const std::string html = report();
    CHECK(contains(html, "No maps of"));
    CHECK(contains(html, "trace.safetensors"));
  }
  SECTION("without any run there is none") {
    CHECK(unexplained([&] { write_report({}, page); }, {"no runs"}) == "nothing");
  }
}

TEST_CASE("a report that fails leaves the earlier one whole", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  const std::string earlier = study.report();
  const std::vector<std::string> names = study.names();
  fs::create_directory(study.folder.path() / "bin");
  const fs::path gnuplot = study.folder.path() / "bin" / "gnuplot";
  const auto check_failed = [&](const Outcome& outcome, const std::string& message) {
    INFO(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err, message));
    CHECK(read_file(study.page) == earlier);
    CHECK(fs::exists(study.files / "test-accuracy.svg"));
    fs::remove_all(study.folder.path() / "bin");
    CHECK(study.names() == names);
  };
  SECTION("for want of gnuplot") {
    const PathVariable nothing((study.folder.path() / "bin").string());
    check_failed(study.command(), "install the package gnuplot-nox");
  }
  SECTION("because gnuplot fails, with what it says") {
    write_program(gnuplot, "echo its message >&2\nexit 3\n");
    const PathVariable only((study.folder.path() / "bin").string());
    check_failed(study.command(), "exit status 3:\nits message");
  }
  SECTION("because gnuplot draws nothing and says all is well") {
    write_program(gnuplot, "exit 0\n");
    const PathVariable only((study.folder.path() / "bin").string());
    check_failed(study.command(), "test-accuracy.svg unfinished");
  }
  SECTION("because of Ctrl-C") {
    write_program(gnuplot, "exec /bin/sleep 1\n");
    const PathVariable only((study.folder.path() / "bin").string());
    Program program({"report", (study.folder.path() / "runs").string(), "-o", study.page.string()});
    REQUIRE(wait_until([&] { return study.names().size() > names.size() + 1; }));  // bin and the new folder
    program.kill(SIGINT);
    check_failed(program.wait(), "report: interrupted");
  }
  SECTION("because the disk is full") {
    const Arguments arguments{"report", (study.folder.path() / "runs").string(), "-o", study.page.string()};
    check_failed(run(arguments, {.largest_file = 8000}), "check the free space");
  }
}

TEST_CASE("lamina report finds runs in folders and takes labels", "[report]") {
  if (gnuplot_is_missing()) return;
  const Study study;
  const Outcome outcome = study.command({"--title", "From the command line"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.out == "wrote " + study.page.string() + "\n");
  CHECK(contains(read_file(study.page), "3 runs in all"));
  CHECK(contains(read_file(study.page), "From the command line"));
  CHECK(run({"report", "Mine=" + study.run("lars-1").string(), "-o", study.page.string()}).status == 0);
  CHECK(contains(read_file(study.page), "Test accuracy of <b>Mine</b>: 50.00 %."));
}

TEST_CASE("lamina report reads what lamina train writes", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "run", page = folder / "report.html";
  REQUIRE(run(tiny_training(out, 1) + Arguments{"--trace"}).status == 0);
  const Outcome outcome = run({"report", out.string(), "-o", page.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(contains(read_file(page),
                 "resnet8 on synthetic:8x8x3x4 (200 training images), batch 32, 1 epoch, 1 seed."));
  const auto map = read_map(folder / "report-files" / "trust-1.csv");
  CHECK(map.size() == 1 + 8);  // the steps; seven convolutions and the classifier
  CHECK(map.at("fc").size() == 6);
  CHECK(map.at("layer").back() == "6");
}

TEST_CASE("lamina report names what is no run and what cannot be written", "[report]") {
  const Study study;
  const std::string folder = study.folder.path().string();
  const auto check_error = [&](const Arguments& arguments, int status, const std::string& message) {
    const Outcome outcome = run(Arguments{"report"} + arguments);
    INFO(outcome.err);
    CHECK(outcome.status == status);
    CHECK(contains(outcome.err, message));
  };
  fs::create_directory(folder + "/empty");
  check_error({}, 2, "runs is required");
  check_error({folder + "/nowhere"}, 1, "nowhere: there is no such run");
  check_error({folder + "/runs/lars-1/steps.csv"}, 1, "steps.csv: a file; expected a run directory");
  check_error({folder + "/empty"}, 1, "empty: neither a run directory (no config.json) nor a folder");
  check_error({folder + "/runs", "-o", folder + "/empty"}, 1, "it is a folder; name a file with -o");
  check_error({folder + "/runs", "-o", folder + "/runs/lars-1/config.json/report.html"}, 1,
              "there is no such folder");
}

}  // namespace lamina::tests
