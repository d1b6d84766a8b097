// lamina study: the features of its runs are measured as the file says, once.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "program.h"
#include "study_files.h"

namespace lamina::tests {
namespace {

const std::string pretraining =
    tiny_base + "method = \"barlow-twins\"\nprojector = [16, 16]\nknn_every = 0\nseed = 1\n";
const std::string two_contenders =
    "[[contender]]\nlabel = \"A\"\noptimizer = \"adamw\"\n[[contender]]\nlabel = \"B\"\noptimizer = "
    "\"sgd\"\nlr = 0.05\n";

Arguments study_arguments(const fs::path& file, const fs::path& out) {
  return {"study", file.string(), "--out", out.string(), "--progress", "plain"};
}

nlohmann::json json_in(const fs::path& file) { return nlohmann::json::parse(read_file(file)); }

// What the command of an evaluation says of a run on the study's images.
nlohmann::json measured_by(const Arguments& command, const fs::path& run_path) {
  const Outcome outcome = run(Arguments{command.front(), run_path.string(), "--limit-train", "96",
                                        "--limit-test", "32", "--threads", "1", "--json"} +
                              Arguments(command.begin() + 1, command.end()));
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return nlohmann::json::parse(outcome.out);
}

std::map<std::string, fs::file_time_type> times_of(const fs::path& study) {
  std::map<std::string, fs::file_time_type> times;
  for (const auto& entry : fs::recursive_directory_iterator(study)) {
    const std::string name = entry.path().filename().string();
    if (name == "knn.json" || name.starts_with("linear"))
      times[entry.path().string()] = entry.last_write_time();
  }
  return times;
}

}  // namespace

TEST_CASE("a study keeps what lamina knn and linear measure of its runs, and of random weights", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "study",
                 file = write_text(folder / "s.toml",
                                   pretraining +
                                       "[evaluate]\nknn = {k = 9, temperature = 0.2}\nlinear = {l2 = 0.01}\n"
                                       "linear_as_official = {epochs = 2, batch = 32}\nbaseline = true\n" +
                                       two_contenders);
  const Outcome outcome = run(study_arguments(file, out));
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const fs::path of_a = out / "runs/a", of_random = out / "baselines/resnet8_seed=1";
  const Arguments knn{"knn", "--k", "9", "--temperature", "0.2"}, linear{"linear", "--l2", "0.01"},
      official{"linear", "--as-official", "--epochs", "2", "--batch", "32", "--workers", "0"};
  for (const auto& [command, name] : {std::pair(knn, "knn.json"), std::pair(linear, "linear.json"),
                                      std::pair(official, "linear-as-official.json")}) {
    CAPTURE(name);
    const nlohmann::json kept = json_in(of_a / name);
    const nlohmann::json printed = measured_by(command, of_a);
    for (const auto& [key, value] : printed.items())
      if (key != "file") CHECK(kept[key] == value);
    CHECK(kept["weights"].get<std::string>().size() == 16);
    CHECK(kept["bn_batch"] == 32);
    CHECK(kept["settings"].is_object());
    const std::string accuracy = std::string(name) == "knn.json" ? "accuracy" : "top1";
    const nlohmann::json baseline =
        measured_by(command + Arguments{"--data", "synthetic:8x8x3x4", "--seed", "1"}, "random:resnet8");
    for (const std::string& key : {accuracy, std::string("weights")})
      CHECK(json_in(of_random / name)[key] == baseline[key]);
  }
  CHECK(read_file(out / "table.md")
            .starts_with("| contender | kNN % | linear % | linear as official % | runs |\n"));
  CHECK(read_file(out / "table.md").find("\n| random weights | ") != std::string::npos);
  CHECK(read_file(out / "results.csv").find(",knn_accuracy,linear_accuracy,linear_as_official_accuracy,") !=
        std::string::npos);
  const std::string page = read_file(out / "report.html");
  for (const char* part :
       {"Linear probe, %", "Linear probe as official, %", ">random weights<", " points ", " random weights (",
        "k 9, temperature 0.2", "with L2 0.01", "training_mode=true"}) {
    INFO("missing: " << part);
    CHECK((page.find(part) != std::string::npos));
  }
}

TEST_CASE("a study measures again only what has become other", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "study", file = folder / "s.toml";
  const auto study = [&](const std::string& evaluate) {
    write_text(file, pretraining + evaluate + two_contenders);
    const Outcome outcome = run(study_arguments(file, out) + Arguments{"--json"});
    INFO(outcome.err);
    REQUIRE(outcome.status == 0);
    return nlohmann::json::parse(outcome.out);
  };
  CHECK(!study("")["rows"][0].contains("knn_accuracy"));
  const auto table = study("[evaluate]\nknn = {k = 9}\nlinear = {l2 = 0.01}\nbaseline = true\n");
  CHECK(table["rows"][0]["knn_accuracy"]["mean"] == json_in(out / "runs/a/knn.json")["accuracy"]);
  CHECK(table["rows"][1]["linear_accuracy"]["count"] == 1);
  CHECK(table["baselines"][0]["contender"] == "random weights");
  const auto first = times_of(out);
  CHECK(first.size() == 6);
  CHECK(study("[evaluate]\nknn = {k = 9}\nlinear = {l2 = 0.01}\nbaseline = true\n") == table);
  CHECK(times_of(out) == first);
  study("[evaluate]\nknn = {k = 8}\nlinear = {l2 = 0.01}\nbaseline = true\n");
  for (const auto& [path, time] : times_of(out)) {
    INFO(path);
    CHECK((time != first.at(path)) == path.ends_with("knn.json"));
  }
  CHECK(!study("[evaluate]\nlinear = {l2 = 0.01}\n")["rows"][0].contains("knn_accuracy"));

  // Other weights in the place of A's.
  fs::copy_file(out / "runs/b/weights.safetensors", out / "runs/a/weights.safetensors",
                fs::copy_options::overwrite_existing);
  study("[evaluate]\nlinear = {l2 = 0.01}\n");
  CHECK(json_in(out / "runs/a/linear.json")["weights"] == json_in(out / "runs/b/linear.json")["weights"]);
}

TEST_CASE("a study of supervised runs has their features measured beside their accuracy", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "study",
                 file = write_text(folder / "s.toml",
                                   "tuned = \"lr\"\ntuned_by = \"linear_accuracy\"\n" + tiny_base +
                                       "[evaluate]\nlinear = {l2 = 0.01}\n[[contender]]\nlabel = \"A\"\n"
                                       "optimizer = \"sgd\"\ngrid.lr = [0.001, 0.05]\n");
  const Outcome outcome = run(study_arguments(file, out));
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const bool first_is_better = json_in(out / "runs/a_lr=0.001/linear.json")["top1"] >=
                               json_in(out / "runs/a_lr=0.05/linear.json")["top1"];
  CHECK(read_file(out / "table.md").starts_with("| contender | lr | best % | last % | linear % | runs |\n"));
  CHECK(read_file(out / "table.md").find(first_is_better ? "| A | 0.001 |" : "| A | 0.05 |") !=
        std::string::npos);
}

TEST_CASE("a study stopped while it measures goes on with what is missing", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "study", file = folder / "s.toml", kept = out / "runs/a/knn.json";
  const auto text = [&](int epochs) {
    return pretraining +
           fmt::format("[evaluate]\nknn = true\nlinear_as_official = {{epochs = {}}}\n", epochs) +
           two_contenders;
  };
  write_text(file, text(1000000));
  Program program(study_arguments(file, out));
  REQUIRE(wait_until([&] { return fs::exists(kept); }));
  program.kill(SIGINT);
  const Outcome stopped = program.wait();
  INFO(stopped.err);
  CHECK(stopped.status == 128 + SIGINT);
  CHECK(!fs::exists(out / "runs/a/linear-as-official.json"));
  const auto time = fs::last_write_time(kept);

  write_text(file, text(1));
  REQUIRE(run(study_arguments(file, out)).status == 0);
  CHECK(fs::last_write_time(kept) == time);
  CHECK(json_in(out / "runs/a/linear-as-official.json")["as_official"]["epochs"] == 1);

  write_text(out / "runs/a/linear-as-official.json", "{");  // as a disk that failed leaves it
  fs::remove(out / "runs/b/knn.json");
  fs::create_directories(out / "runs/b/knn.json/in the way");
  const Outcome failed = run(study_arguments(file, out));
  CHECK(failed.status == 1);
  CHECK(failed.err.find("runs/b") != std::string::npos);
  fs::remove_all(out / "runs/b/knn.json");
  REQUIRE(run(study_arguments(file, out)).status == 0);
  CHECK(json_in(out / "runs/a/linear-as-official.json")["as_official"]["epochs"] == 1);
  CHECK(json_in(out / "runs/b/knn.json")["k"] == 96);
}

TEST_CASE("features measured at a run's end go with it when it becomes longer") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(run(tiny_pretraining(out, "barlow-twins") + Arguments{"--schedule", "constant"}).status == 0);
  write_text(out / "knn.json", "{\"accuracy\": 0.5}");
  const Outcome outcome = run({"pretrain", "--resume", "--out", out.string(), "--epochs", "4"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(!fs::exists(out / "knn.json"));
}

}  // namespace lamina::tests
