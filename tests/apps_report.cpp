// The page of lamina report: what is on it, and what its figures are made of.
#include <cmath>
#include <set>

#include "core/base/csv.h"
#include "core/base/printable.h"
#include "reported_study.h"

namespace lamina::tests {
namespace {

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

}  // namespace

TEST_CASE("the report is one whole page that needs nothing else", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
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
  CHECK(count(html, "<figure>") == 7 + 5);  // curves, and the maps of the traced contender
  CHECK(count(html, "aria-label") == 7 + 5);
  CHECK(contains(html, "No maps of"));  // of the untraced one
  for (const auto& entry : fs::directory_iterator(study.files)) CHECK(entry.path().extension() != ".tmp");
  CHECK(study.names() == std::vector<std::string>{"out-files", "out.html", "runs"});
}

TEST_CASE("the report says what was compared and how sure the result is", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  const std::string html = study.report();
  CHECK(contains(
      html, "2 contenders: resnet8 on cifar10 (100 training images), batch 128, 2 epochs, 1 to 2 seeds"));
  CHECK(contains(html, "Most accurate is <b>tvlars</b>: 70.00 %, 15.00 points above lars (55.00 ± 7.07 %)"));
  CHECK(contains(html, "With a single seed the spread is unknown"));
  CHECK(contains(html, "<b>70.00</b>"));
  CHECK(contains(html, "<td>1.5 ± 0.7</td>"));  // LARS' best epochs, 1 and 2

  SECTION("a difference within the spread is no result") {
    train::Recipe options = tiny_options();
    options.seed = 1;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.45}});
    std::vector<compare::RunResult> runs = study.results();
    runs.push_back(compare::read_run_result(study.run("tvlars-1")));
    compare::write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "these runs do not tell the two apart"));
  }
  SECTION("accuracies on other images are not compared") {
    train::Recipe options = tiny_options();
    options.limit_test = 10;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.99}});
    std::vector<compare::RunResult> runs = study.results();
    runs.push_back(compare::read_run_result(study.run("tvlars-1")));
    compare::write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "tested on different images, so their accuracies do not compare"));
    CHECK_FALSE(contains(read_file(study.page), "Most accurate"));
  }
  SECTION("images of another size are mentioned") {
    train::Recipe options = tiny_options();
    options.image_size = 64;
    write_run(study.run("tvlars-1"), options, {{2.0, 0.25}, {1.5, 0.45}});
    std::vector<compare::RunResult> runs = study.results();
    runs.push_back(compare::read_run_result(study.run("tvlars-1")));
    compare::write_report(runs, study.page);
    CHECK(contains(read_file(study.page), "(100 training images), image_size 0 and 64, batch 128"));
  }
  SECTION("a run given twice counts once") {
    std::vector<compare::RunResult> runs = study.results();
    runs.push_back(compare::read_run_result(study.run("lars-1") / "."));
    compare::write_report(runs, study.page);
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
  const ReportedStudy study;
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

TEST_CASE("curves have points where all runs were measured, and none of what no log holds", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  using Rows = std::vector<std::vector<double>>;
  const std::vector<std::string> columns{"contender", "epoch", "mean", "runs"};
  train::Recipe options = tiny_options();
  options.optimizer = "lars";
  options.seed = 2;
  options.eval_every = 2;  // may differ among the seeds
  const std::vector<EpochLine> lines{{2.0, NAN}, {2.0, 0.60}, {2.0, NAN}, {2.0, 0.70}, {2.0, 0.80}};
  write_run(study.run("lars-2"), options, lines);
  options.seed = 1;
  options.eval_every = 1;
  write_run(study.run("lars-1"), options, {{2.0, 0.50}, {1.0, 0.40}, {1.0, 0.30}});
  study.report();
  CHECK(read_csv(study.files / "test-accuracy.csv", columns) ==
        Rows{{1, 2, 50, 2}, {1, 4, 70, 1}, {1, 5, 80, 1}, {2, 1, 25, 1}, {2, 2, 70, 1}});
  CHECK(read_csv(study.files / "test-loss.csv", columns) ==
        Rows{{1, 2, 1.5, 2}, {1, 4, 1.5, 1}, {1, 5, 1.5, 1}, {2, 1, 1.5, 1}, {2, 2, 1.5, 1}});
  CHECK(read_csv(study.files / "train-accuracy.csv", columns).size() == 5 + 2);
  CHECK(read_csv(study.files / "train-accuracy.csv", columns)[2] == std::vector<double>{1, 3, 50, 2});

  for (const char* name : {"lars-1", "lars-2", "tvlars-2"})
    std::ofstream(study.run(name) / "epochs.csv")
        << "epoch,train_loss,test_loss,seconds,images_per_s\n1,2,,10,100\n2,2,,10,100\n";
  const std::string html = study.report();
  CHECK(count(html, "<figure>") == 1 + 3);  // the training loss and the learning rates
  CHECK(fs::exists(study.files / "train-loss.svg"));
}

TEST_CASE("trust ratios that are 1 throughout have no map", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_trace(study.run("lars-1"), {.adapts = false});
  write_trace(study.run("tvlars-2"));
  std::string html = study.report();
  CHECK(count(html, "<figure>") == 7 + 4 + 5);
  CHECK_FALSE(fs::exists(study.files / "trust-1.csv"));
  CHECK(contains(read_file(study.files / "trust-2.gp"), "set cbrange [5 : 60]"));
  write_trace(study.run("tvlars-2"), {.adapts = false});
  html = study.report();
  CHECK(count(html, "<figure>") == 7 + 4 + 4);
  CHECK_FALSE(contains(html, "<h3>trust ratio</h3>"));
}

TEST_CASE("the maps' data are those of the traces, on one colour scale", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
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
  const ReportedStudy study;
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
  const ReportedStudy study;
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

TEST_CASE("no name of anything ends a report", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_trace(study.run("tvlars-2"), {.layers = {"caf\u00e9\x1b[31m", std::string(300, 'w')}, .kinds = {}});
  const std::string label = "caf\xe9 100%\\ " + std::string(300, 'l');
  const fs::path page = study.folder / "a #%'\xe9\n" / "out %41.html";
  const Outcome outcome = run({"report", label + "=" + study.run("tvlars-2").string(), study.run("lars-1"),
                               "-o", page.string(), "--title", "\xff\x1b"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const std::string html = read_file(page);
  CHECK(is_utf8(html));
  CHECK(first_unbalanced_tag(html).empty());
  CHECK(contains(html, "<title>\\xff\\x1b</title>"));
  CHECK(contains(html, "caf\\xe9 100%\\ lll"));
  CHECK(contains(html, "href=\"out%20%2541-files/phi.csv\""));
  const std::string svg = read_file(page.parent_path() / "out %41-files" / "trust-1.svg");
  CHECK(is_utf8(svg));
  CHECK(contains(svg, "café\\x1b[31m"));
  CHECK(contains(svg, std::string(29, 'w') + "…"));
}

TEST_CASE("the report shows the validation and the last test loss", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  CHECK_FALSE(contains(study.report(), "valid-loss"));
  std::ofstream(study.run("tvlars-2") / "epochs.csv")
      << "epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,test_loss,test_accuracy,seconds,images_"
         "per_s\n"
         "1,2,0.5,1.25,0.5,1.75,0.5,10,100\n2,2,0.5,1.5,0.75,1.125,0.5,10,100\n";
  const std::string html = study.report();
  using Rows = std::vector<std::vector<double>>;
  const std::vector<std::string> columns{"contender", "epoch", "mean"};
  CHECK(read_csv(study.files / "valid-loss.csv", columns) == Rows{{2, 1, 1.25}, {2, 2, 1.5}});
  CHECK(read_csv(study.files / "valid-accuracy.csv", columns) == Rows{{2, 1, 50}, {2, 2, 75}});
  CHECK(contains(html, "<td>1.1250</td>"));
  CHECK(read_csv(study.files / "comparison.csv", {"last_test_loss", "last_test_loss_std"}) ==
        Rows{{1.5, 0}, {1.125, 0}});
}

TEST_CASE("a legend's text is cut to the width of the figure", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  std::string label;
  for (int i = 0; i < 50; ++i) label += "φ";
  study.report(label);
  CHECK(contains(read_file(study.files / "test-accuracy.svg"), label));
  const std::string html = study.report(label + "φ");
  const std::string svg = read_file(study.files / "test-accuracy.svg");
  CHECK_FALSE(contains(svg, label));
  CHECK(contains(svg, label.substr(0, label.size() - std::string("φ").size()) + "…"));
  CHECK(contains(html, label + "φ"));
}

}  // namespace lamina::tests
