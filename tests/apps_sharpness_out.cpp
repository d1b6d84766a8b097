// lamina sharpness --out, and what reports make of the file.
#include <nlohmann/json.hpp>

#include "reported_study.h"

namespace lamina::tests {

TEST_CASE("lamina sharpness writes to a file what it prints") {
  const TemporaryFolder folder;
  const fs::path trained = folder / "run", file = trained / "sharpness.json";
  REQUIRE(run(tiny_training(trained, 1)).status == 0);
  const Arguments measure{
      "sharpness", trained.string(), "--limit", "32",        "--micro-batch",   "32", "--top",
      "1",         "--max-steps",    "5",       "--density", "--density-steps", "4",  "--density-starts",
      "1",         "--json"};
  const auto check_refused = [&](const fs::path& out, const std::string& message) {
    const Outcome outcome = run(measure + Arguments{"--out", out.string()});
    INFO(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(contains(outcome.err, message));
    CHECK(outcome.out.empty());
  };
  check_refused(trained, "it is a folder; expected the name of a file");
  check_refused(folder / "nowhere" / "s.json", "there is no folder ");
  check_refused(trained / "weights.safetensors", "would replace what is measured");

  const Outcome outcome = run(measure + Arguments{"--out", file.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(nlohmann::json::parse(read_file(file)) == nlohmann::json::parse(outcome.out));
  CHECK(read_file(file).back() == '\n');
  CHECK(nlohmann::json::parse(read_file(file)).at("density").size() == 4);
  for (const auto& entry : fs::directory_iterator(trained)) CHECK(entry.path().extension() != ".tmp");

  if (gnuplot_is_missing()) return;
  REQUIRE(run({"report", trained.string(), "-o", (folder / "r.html").string()}).status == 0);
  CHECK(contains(read_file(folder / "r.html"), "batch norm by running statistics, 32 samples (train)"));
  CHECK(fs::exists(folder / "r-files" / "density.svg"));
}

}  // namespace lamina::tests
