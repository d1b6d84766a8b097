// lamina study: running what a file says through kills and failures.
#include <random>
#include <sstream>

#include "catch.h"
#include "program.h"
#include "study_files.h"

namespace lamina::tests {
namespace {

Arguments study_command(const fs::path& file, const fs::path& out) {
  return {"study", file.string(), "--out", out.string(), "--progress", "plain"};
}

// results.csv but for its last column, the time.
std::string results_of(const fs::path& study) {
  std::istringstream file(read_file(study / "results.csv"));
  std::string text;
  for (std::string line; std::getline(file, line);) text += line.substr(0, line.rfind(',')) + "\n";
  return text;
}

std::vector<fs::path> checkpoints_below(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(folder, error); !error && entry != end(entry);
       entry.increment(error)) {
    if (entry->path().filename().string().starts_with("checkpoint-")) found.push_back(entry->path());
  }
  return found;
}

}  // namespace

TEST_CASE("--dry-run prints the cells and makes nothing; every shipped study has a plan") {
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "tiny.toml", tiny_study), out = folder / "out";
  const Outcome outcome = run(study_command(file, out) + Arguments{"--dry-run", "--epochs", "1"});
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  CHECK(outcome.out.starts_with("tvlars_lr=0.5_seed=1\n  lamina train --data synthetic:8x8x3x4 "));
  CHECK(outcome.out.find("--epochs 1 ") != std::string::npos);
  CHECK(outcome.out.ends_with("\n6 runs\n"));
  CHECK(!fs::exists(out));
  CHECK(run(study_command(file, out) + Arguments{"--seed", "3"}).err.find("seed is in a grid") !=
        std::string::npos);
  const std::string idle = "note: in no run of the study: --poly-power does nothing without --schedule poly";
  CHECK(run(study_command(file, out) + Arguments{"--dry-run", "--poly-power", "3"}).err.find(idle) !=
        std::string::npos);
  write_text(file, tiny_base + "poly_power = 3\nschedule = \"cosine\"\n" + tiny_contenders);
  CHECK(run(study_command(file, out) + Arguments{"--dry-run"}).err.find(idle) != std::string::npos);
  write_text(file,
             tiny_base + "poly_power = 3\n[grid]\nschedule = [\"poly\", \"cosine\"]\n" + tiny_contenders);
  CHECK(run(study_command(file, out) + Arguments{"--dry-run"}).err.empty());
  int shipped = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(LAMINA_SOURCE_DIR) / "studies")) {
    const Outcome plan = run({"study", entry.path().string(), "--dry-run"});
    INFO(entry.path() << plan.err);
    CHECK(plan.status == 0);
    CHECK(plan.err.empty());
    CHECK(plan.out.ends_with(" runs\n"));
    ++shipped;
  }
  CHECK(shipped >= 7);
}

TEST_CASE("a study killed at random moments ends in the same results") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "tiny.toml", tiny_study), whole = folder / "whole",
                 broken = folder / "broken";
  const auto start = std::chrono::steady_clock::now();
  const Outcome first = run(study_command(file, whole));
  INFO(first.err);
  REQUIRE(first.status == 0);
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - start;
  for (const char* name : {"study.toml", "results.csv", "table.md", "table.tex", "report.html"}) {
    CHECK(fs::exists(whole / name));
  }
  CHECK(first.out.find("SGD + warm-up") != std::string::npos);
  CHECK(first.err.find("[6/6] SGD + warm-up, seed 2: best ") != std::string::npos);

  std::mt19937 random(1);  // NOLINT: the same moments in every run of the test, as far as the machine allows
  int kills = 0;
  for (;; ++kills) {
    REQUIRE(kills < 200);
    Program program(study_command(file, broken));
    std::this_thread::sleep_for(duration * std::uniform_real_distribution(0.05, 0.5)(random));
    program.kill(SIGKILL);
    const Outcome outcome = program.wait();
    INFO(outcome.err);
    REQUIRE((outcome.status == 0 || outcome.status == 128 + SIGKILL));
    if (outcome.status == 0) break;
  }
  CHECK(kills > 0);
  CHECK(results_of(broken) == results_of(whole));
  const fs::path run_of = fs::path("runs") / "tvlars_lr=1_seed=2";
  CHECK(read_file(broken / run_of / "weights.safetensors") ==
        read_file(whole / run_of / "weights.safetensors"));
}

TEST_CASE("a study starts a run over by the run's own files, and leaves what is another's") {
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "tiny.toml", tiny_study), out = folder / "out";
  const fs::path cell = out / "runs/tvlars_lr=0.5_seed=1";
  fs::create_directories(cell);
  write_text(out / "study.toml", tiny_study);
  write_text(cell / "steps.csv", "step,");
  write_text(cell / "notes.txt", "mine");
  const Outcome foreign = run(study_command(file, out));
  CHECK(foreign.status == 1);
  CHECK(foreign.err.find("not a run directory") != std::string::npos);
  CHECK(read_file(cell / "notes.txt") == "mine");

  fs::remove(cell / "notes.txt");
  write_text(cell / "config.json", "{\"opt");
  write_text(cell / "checkpoint-1.safetensors", "who knows");
  const Outcome damaged = run(study_command(file, out));
  CHECK(damaged.status == 1);
  CHECK(damaged.err.find("config.json: not a JSON object") != std::string::npos);
  CHECK(read_file(cell / "checkpoint-1.safetensors") == "who knows");
}

TEST_CASE("Ctrl-C saves a study; half-written runs start over; a changed study is refused") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "tiny.toml", tiny_study), out = folder / "out";
  {
    Program program(study_command(file, out));
    REQUIRE(wait_until([&] { return !checkpoints_below(out).empty(); }));
    const Outcome second = run(study_command(file, out));
    CHECK(second.status == 1);
    CHECK(second.err.find("another process runs a study in it") != std::string::npos);
    program.kill(SIGINT);
    const Outcome outcome = program.wait();
    INFO(outcome.err);
    CHECK(outcome.status == 130);
    CHECK(outcome.err.find("The same command goes on") != std::string::npos);
    CHECK(!fs::exists(out / "results.csv"));
    const auto begun = std::distance(fs::directory_iterator(out / "runs"), fs::directory_iterator{});
    CHECK(begun < 6);  // no more of them
  }
  const fs::path runs = out / "runs";
  fs::create_directories(runs / "tvlars_lr=1_seed=1");  // whatever it was, it has lost its configuration
  write_text(runs / "tvlars_lr=1_seed=1/steps.csv", "step,");
  fs::create_directories(runs / "sgd-warm-up_seed=2");
  write_text(runs / "sgd-warm-up_seed=2/config.json", "{\"opt");

  std::string changed = tiny_study;
  changed.replace(changed.find("epochs = 2"), 10, "epochs = 3");
  const Outcome refused = run(study_command(write_text(folder / "changed.toml", changed), out));
  CHECK(refused.status == 2);
  CHECK(refused.err.find("tvlars_lr=0.5_seed=1: this run was made with other options") != std::string::npos);
  CHECK(refused.err.find("--epochs: 3 here, 2 there") != std::string::npos);

  REQUIRE(run(study_command(file, out)).status == 0);
  const fs::path weights = runs / "tvlars_lr=1_seed=1/weights.safetensors";
  const auto time = fs::last_write_time(weights);
  std::string longer = tiny_study;
  longer.replace(longer.find("seed = [1, 2]"), 13, "seed = [1, 2, 3]");
  const Outcome added = run(study_command(write_text(folder / "longer.toml", longer), out));
  CHECK(added.status == 0);
  CHECK(added.err.find("[7/9] TVLARS, lr 0.5, seed 3: best ") != std::string::npos);
  CHECK(fs::last_write_time(weights) == time);  // not run again
  CHECK(read_file(out / "study.toml") == longer);
}

TEST_CASE("runs that another version's defaults made are named, and nothing is mixed") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "out", run_of_sgd = out / "runs/sgd";
  const fs::path file = write_text(folder / "s.toml", tiny_base +
                                                          "[[contender]]\nlabel = \"SGD\"\noptimizer = "
                                                          "\"sgd\"\n[[contender]]\nlabel = "
                                                          "\"TVLARS\"\noptimizer = \"tvlars\"\n");
  REQUIRE(run(study_command(file, out)).status == 0);
  const auto change = [&](const auto& edit) {
    nlohmann::json config = nlohmann::json::parse(read_file(run_of_sgd / "config.json"));
    edit(config["resolved"]);
    write_text(run_of_sgd / "config.json", config.dump());
  };
  change([](nlohmann::json& resolved) { resolved["knobs"]["momentum"] = "0.5"; });
  const Outcome refused = run(study_command(file, out));
  CHECK(refused.status == 2);
  CHECK(refused.err.find("\n  sgd: momentum: 0.5 there, 0.9 here\n") != std::string::npos);
  CHECK(refused.err.find("tvlars") == std::string::npos);
  change([](nlohmann::json& resolved) { resolved.erase("knobs"); });  // not known
  CHECK(run(study_command(file, out)).status == 0);
}

TEST_CASE("a finished run that lacks its evaluation is evaluated, not trained again") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  const fs::path file = write_text(folder / "one.toml", tiny_base);
  REQUIRE(run(study_command(file, out)).status == 0);
  const std::string evaluation = read_file(out / "runs/one/evaluation.json"),
                    steps = read_file(out / "runs/one/steps.csv");
  fs::remove(out / "runs/one/evaluation.json");
  CHECK(run(study_command(file, out)).status == 0);
  CHECK(read_file(out / "runs/one/evaluation.json") == evaluation);
  CHECK(read_file(out / "runs/one/steps.csv") == steps);
}

TEST_CASE("the run in which a study was stopped goes on from its checkpoint") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  std::string text = tiny_base;
  text.replace(text.find("epochs = 2"), 10, "epochs = 60");  // long enough to be stopped in its midst
  const fs::path file = write_text(folder / "long.toml", text);
  {
    Program program(study_command(file, out));
    REQUIRE(wait_until([&] { return !checkpoints_below(out).empty(); }));
    program.kill(SIGTERM);
    REQUIRE(program.wait().status == 128 + SIGTERM);
  }
  CHECK(!fs::exists(out / "runs/long/weights.safetensors"));
  const Outcome outcome = run(study_command(file, out));
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("resuming from " + (out / "runs/long/checkpoint-").string()) != std::string::npos);
}

TEST_CASE("a run that diverges is noted, and the study goes on") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  const fs::path file = write_text(
      folder / "tiny.toml", tiny_base + "[[contender]]\nlabel = \"SGD\"\noptimizer = \"sgd\"\nlr = 1e30\n" +
                                "[[contender]]\nlabel = \"LARS\"\noptimizer = \"lars\"\n");
  const Outcome outcome = run(study_command(file, out));
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("[1/2] SGD, seed 1: failed: training diverged in epoch 1") != std::string::npos);
  CHECK(read_file(out / "runs/sgd/failure.txt").starts_with("training diverged in epoch 1, step 2"));
  CHECK(read_file(out / "table.md").find("| SGD | - | - | 0, 1 failed |") != std::string::npos);
  CHECK(results_of(out).find("\nsgd,SGD,1,failed,") != std::string::npos);
  CHECK(results_of(out).find("\nlars,LARS,1,done,") != std::string::npos);

  CHECK(run(study_command(file, out)).err.find("failed") == std::string::npos);  // not run again
  CHECK(run(study_command(file, out) + Arguments{"--retry-failed"}).err.find("[2/2] SGD, seed 1: failed") !=
        std::string::npos);
}

TEST_CASE("what would hit every run stops the study and leaves nothing") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write_text(folder / "tiny.toml", tiny_study), out = folder / "out";
  const Outcome nowhere =
      run(study_command(file, out) + Arguments{"--data", "cifar10:" + folder.path().string()});
  CHECK(nowhere.status == 1);
  CHECK(nowhere.err.find("test_batch.bin") != std::string::npos);
  CHECK(run(study_command(file, out) + Arguments{"--batch", "100"}).status == 1);
  CHECK(!fs::exists(out));

  const Outcome full = run(study_command(file, out), {.largest_file = 100'000});
  CHECK(full.status == 1);
  CHECK(full.err.find("File too large") != std::string::npos);
  CHECK(!fs::exists(out / "runs/tvlars_lr=0.5_seed=1/failure.txt"));
  CHECK(run(study_command(file, out)).status == 0);

  fs::create_directory(folder / "others");
  write_text(folder / "others/notes.txt", "mine");
  const Outcome others = run(study_command(file, folder / "others"));
  CHECK(others.status == 1);
  CHECK(others.err.find("is not a study's") != std::string::npos);
}

}  // namespace lamina::tests
