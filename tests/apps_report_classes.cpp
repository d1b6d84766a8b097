// What lamina report makes of evaluation.json: the classes that runs take for one another.
#include "reported_study.h"

namespace lamina::tests {
namespace {

using Counts = std::vector<std::vector<int>>;

void write_evaluation(const fs::path& run, const std::vector<std::string>& classes, const Counts& confusion) {
  nlohmann::json per_class = nlohmann::json::array();
  for (const std::string& name : classes) per_class.push_back({{"class", name}});
  std::ofstream(run / "evaluation.json")
      << nlohmann::json{{"per_class", per_class}, {"confusion", confusion}};
}

}  // namespace

TEST_CASE("the report shows which classes are taken for which", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  CHECK_FALSE(contains(study.report(), "<h2>Classes</h2>"));  // runs of earlier versions
  write_evaluation(study.run("lars-2"), {"cat", "d<o>g,", "none"}, {{6, 2, 0}, {0, 4, 0}, {0, 0, 0}});
  const std::string html = study.report();
  CHECK(contains(html, "<h2>Classes</h2>"));
  CHECK(contains(html, "Nothing of tvlars (no complete run with an evaluation.json)"));
  CHECK(contains(html, "aria-label=\"Confusion matrix of lars\""));
  CHECK(contains(html,
                 "<tr><th>cat</th><td>8</td><td>75.00</td><td class=\"text\">d&lt;o&gt;g,, 25.0</td></tr>"));
  CHECK(contains(html, "<tr><th>d&lt;o&gt;g,</th><td>4</td><td>100.00</td><td class=\"text\">–</td></tr>"));
  CHECK(contains(html, "<tr><th>none</th><td>0</td><td>–</td><td class=\"text\">–</td></tr>"));
  CHECK(read_file(study.files / "confusion-1.csv") ==
        "class,\"cat\",\"d<o>g,\",\"none\"\n\"cat\",75,25,0\n\"d<o>g,\",0,100,0\n\"none\",,,\n");
  CHECK_FALSE(fs::exists(study.files / "confusion-2.csv"));

  SECTION("one table for contenders that were tested on the same") {
    write_evaluation(study.run("tvlars-2"), {"cat", "d<o>g,", "none"}, {{4, 4, 0}, {4, 0, 0}, {0, 0, 0}});
    CHECK(contains(study.report(),
                   "<tr><th>cat</th><td>8</td><td>75.00</td><td class=\"text\">d&lt;o&gt;g,, "
                   "25.0</td><td>50.00</td><td class=\"text\">d&lt;o&gt;g,, 50.0</td></tr>"));
  }
  SECTION("a table for each where not") {
    write_evaluation(study.run("tvlars-2"), {"cat", "eel"}, {{4, 4}, {4, 0}});
    CHECK(contains(study.report(),
                   "<tr><th>eel</th><td>4</td><td>0.00</td><td class=\"text\">cat, 100.0</td></tr>"));
  }
  SECTION("a damaged file is told") {
    std::ofstream(study.run("tvlars-2") / "evaluation.json") << "{\"per_class\": [";
    CHECK(contains(study.report(), "evaluation.json: holds no confusion matrix (it is not a JSON object)"));
  }
  SECTION("an unfinished run's is of no use") {
    std::ofstream(study.run("lars-2") / "failure.txt") << "diverged";
    CHECK_FALSE(contains(study.report(), "<h2>Classes</h2>"));
  }
}

TEST_CASE("many classes are drawn up to a hundred and listed in a fold", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  const auto write_diagonal = [&](const char* run, std::size_t classes) {
    Counts confusion(classes, std::vector<int>(classes));
    std::vector<std::string> names;
    for (std::size_t c = 0; c < classes; ++c)
      names.push_back(fmt::format("a class of a long name {}", c)), confusion[c][c] = 5;
    write_evaluation(study.run(run), names, confusion);
  };
  write_diagonal("lars-1", 100);
  write_diagonal("tvlars-2", 101);
  const std::string html = study.report();
  CHECK(contains(html, "<details><summary>Accuracy of each of 100 classes</summary>"));
  CHECK(contains(html, "<details><summary>Accuracy of each of 101 classes</summary>"));
  CHECK(contains(html, "More than 100 classes are not drawn."));
  CHECK(contains(read_file(study.files / "confusion-1.svg"), "a class of a long n…"));
  CHECK_FALSE(fs::exists(study.files / "confusion-2.svg"));
}

}  // namespace lamina::tests
