// lamina study: what a file plans, what is wrong with it, running it through kills and failures, its table.
#include <random>

#include "apps/study_plan.h"
#include "apps/study_run.h"
#include "apps/study_table.h"
#include "apps_program.h"
#include "catch.h"
#include "core/error.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

// A study small enough for tests.
const std::string tiny_base =
    "[base]\ndata = \"synthetic:8x8x3x4\"\nmodel = \"resnet8\"\nlimit_train = 96\nlimit_test = 32\n"
    "batch = 32\nepochs = 2\nthreads = 1\nworkers = 0\ncheckpoint_steps = 1\n";
const std::string tiny_contenders =
    "[[contender]]\nlabel = \"TVLARS\"\noptimizer = \"tvlars\"\n[contender.grid]\nlr = [0.5, 1]\n"
    "[[contender]]\nlabel = \"SGD + warm-up\"\noptimizer = \"sgd\"\nwarmup_epochs = 1\n";
const std::string tiny_study = tiny_base + "[grid]\nseed = [1, 2]\n" + tiny_contenders;

fs::path write(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
  return path;
}

std::vector<Cell> planned(const std::string& text) {
  const TemporaryFolder folder;
  return plan_cells(read_study(write(folder / "s.toml", text)));
}

std::vector<std::string> names(const std::vector<Cell>& cells) {
  std::vector<std::string> all;
  all.reserve(cells.size());
  for (const Cell& cell : cells) all.push_back(cell.name);
  return all;
}

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

TEST_CASE("a study's cells are every combination, under readable names") {
  const std::vector<Cell> cells = planned(tiny_study);
  CHECK(names(cells) == std::vector<std::string>{"tvlars_lr=0.5_seed=1", "tvlars_lr=1_seed=1",
                                                 "sgd-warm-up_seed=1", "tvlars_lr=0.5_seed=2",
                                                 "tvlars_lr=1_seed=2", "sgd-warm-up_seed=2"});
  CHECK(cells[1].label == "TVLARS, lr 1");
  CHECK(cells[1].options.lr == 1.0);
  CHECK(cells[1].options.batch == 32);
  CHECK(cells[2].options.lr == std::nullopt);
  CHECK(cells[2].options.warmup_epochs == 1);
  CHECK(cells[5].options.seed == 2);
}

TEST_CASE("a contender's settings win over the base's, and the grid's over both") {
  const std::vector<Cell> cells = planned(
      tiny_base +
      "optimizer = \"lars\"\nset.momentum = 0.5\nset.trust_coefficient = 0.01\n"
      "[[grid]]\nbatch = 16\nlr = [1, 2]\n[[grid]]\nbatch = 32\nlr = 3\n"
      "[[contender]]\nlabel = \"A\"\nset.momentum = 0.8\n[contender.grid]\nset.trust_coefficient = [1e-3, "
      "0.02]\n");
  CHECK(names(cells) ==
        std::vector<std::string>{
            "a_trust_coefficient=0.001_batch=16_lr=1", "a_trust_coefficient=0.02_batch=16_lr=1",
            "a_trust_coefficient=0.001_batch=16_lr=2", "a_trust_coefficient=0.02_batch=16_lr=2",
            "a_trust_coefficient=0.001_batch=32_lr=3", "a_trust_coefficient=0.02_batch=32_lr=3"});
  CHECK(cells[1].options.set == std::vector<std::string>{"momentum=0.8", "trust_coefficient=0.02"});
}

TEST_CASE("a study without contenders is its base and grid") {
  CHECK(names(planned("title = \"Only LARS\"\n" + tiny_base +
                      "[grid]\noptimizer = [\"lars\", \"lars:timm\"]\n")) ==
        std::vector<std::string>{"only-lars_optimizer=lars", "only-lars_optimizer=lars-timm"});
}

TEST_CASE("what is wrong in a study is found before anything runs") {
  struct Case {
    std::string text;
    std::initializer_list<const char*> message;
  };
  const std::vector<Case> cases{
      {"[base]\nbacth = 3\n", {"s.toml: [base] bacth: no such option; did you mean batch?"}},
      {"[bas]\n", {"bas: no such key; did you mean base?"}},
      {"[base]\nepochs = \"many\"\n", {"[base] epochs: \"many\"; expected a whole number"}},
      {"[base]\nepochs = 1.5\n", {"[base] epochs: 1.5; expected a whole number"}},
      {"[base]\ntrace = 1\n", {"[base] trace: 1; expected true or false"}},
      {"[base]\nlr = true\n", {"[base] lr: true; expected a number"}},
      {"[base]\nmodel = [\"resnet8\"]\n", {"[base] model: [\"resnet8\"]; expected text"}},
      {"title = 3\n", {"title: 3; expected text"}},
      {"base = 3\n", {"base: expected a table"}},
      {"[grid]\nseed = []\n", {"[grid] seed: an empty list"}},
      {"[grid]\nseeds = [1]\n", {"[grid] seeds: no such option; did you mean seed?"}},
      {"[grid]\nlr = [1, \"two\"]\n", {"[grid] lr: \"two\"; expected a number"}},
      {"[[contender]]\noptimizer = \"sgd\"\n", {"[[contender]] label: missing"}},
      {"[[contender]]\nlabel = \"A\"\noptimiser = \"sgd\"\n",
       {"[[contender]] \"A\" optimiser", "did you mean optimizer?"}},
      {"[[contender]]\nlabel = \"A\"\n[contender.grid]\nlrs = 1\n",
       {"[contender.grid] of \"A\" lrs: no such option; did you mean lr?"}},
      {"a = 1\nb = \n", {"s.toml:2: "}},
      {"[base]\nlr = 1979-05-27\n", {"s.toml:2: a date"}},
      {tiny_base + "set.lambda = 1\n[[contender]]\nlabel = \"A\"\noptimizer = \"lars\"\n",
       {"run a: lars has no knob 'lambda'"}},
      {tiny_base + "optimizer = \"larss\"\n", {"optimizer 'larss' does not exist"}},
      {tiny_base + "optimizer = \"lars:pape\"\n", {"lars has no preset 'pape'"}},
      {tiny_base + "model = \"resnet9\"\n", {"s.toml:11: "}},  // given twice
      {tiny_base + "micro_batch = 64\n", {"--micro-batch 64 is larger than --batch 32"}},
      {tiny_base + "schedule = \"cosin\"\n", {"cosin"}},
      {tiny_base + "[[contender]]\nlabel = \"A\"\n[[contender]]\nlabel = \"B\"\n",
       {"runs a and b have the same options"}},
      {tiny_base + "[[contender]]\nlabel = \"A\"\n[[contender]]\nlabel = \"a\"\nlr = 3\n",
       {"two runs would be called a"}},
      {tiny_base + "[grid]\nseed = [1, 1]\n", {"have the same options"}},
      {tiny_base + "[grid]\nbatch = [32, 64]\n[[contender]]\nlabel = \"A\"\nbatch = 16\n",
       {"batch is in [grid], and the contender \"A\" gives it too"}},
      {"tuned = \"lr\"\n" + tiny_base, {"tuned: lr, but there is no grid"}},
      {"tuned = \"r\"\n" + tiny_base + "[grid]\nlr = [1, 2]\n", {"tuned: r is in no grid; did you mean lr?"}},
      {"tuned = \"lr\"\ntuned_by = \"loss\"\n" + tiny_base + "[grid]\nlr = [1, 2]\n",
       {"tuned_by: \"loss\"", "last_accuracy"}},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(unexplained([&] { planned(c.text); }, c.message) == "nothing");
    CHECK_THROWS_AS(planned(c.text), UsageError);
  }
}

TEST_CASE("--dry-run prints the cells and makes nothing; every shipped study has a plan") {
  const TemporaryFolder folder;
  const fs::path file = write(folder / "tiny.toml", tiny_study), out = folder / "out";
  const Outcome outcome = run(study_command(file, out) + Arguments{"--dry-run", "--epochs", "1"});
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  CHECK(outcome.out.starts_with("tvlars_lr=0.5_seed=1\n  lamina train --data synthetic:8x8x3x4 "));
  CHECK(outcome.out.find("--epochs 1 ") != std::string::npos);
  CHECK(outcome.out.ends_with("\n6 runs\n"));
  CHECK(!fs::exists(out));
  CHECK(run(study_command(file, out) + Arguments{"--seed", "3"}).err.find("seed is in a grid") !=
        std::string::npos);
  int shipped = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(LAMINA_SOURCE_DIR) / "studies")) {
    const Outcome plan = run({"study", entry.path().string(), "--dry-run"});
    INFO(entry.path() << plan.err);
    CHECK(plan.status == 0);
    CHECK(plan.out.ends_with(" runs\n"));
    ++shipped;
  }
  CHECK(shipped >= 5);
}

TEST_CASE("a study killed at random moments ends in the same results") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write(folder / "tiny.toml", tiny_study), whole = folder / "whole",
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

TEST_CASE("Ctrl-C saves a study; half-written runs start over; a changed study is refused") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path file = write(folder / "tiny.toml", tiny_study), out = folder / "out";
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
  write(runs / "tvlars_lr=1_seed=1/steps.csv", "step,");
  fs::create_directories(runs / "sgd-warm-up_seed=2");
  write(runs / "sgd-warm-up_seed=2/config.json", "{\"opt");

  std::string changed = tiny_study;
  changed.replace(changed.find("epochs = 2"), 10, "epochs = 3");
  const Outcome refused = run(study_command(write(folder / "changed.toml", changed), out));
  CHECK(refused.status == 2);
  CHECK(refused.err.find("tvlars_lr=0.5_seed=1: this run was made with other options") != std::string::npos);
  CHECK(refused.err.find("--epochs: 3 here, 2 there") != std::string::npos);

  REQUIRE(run(study_command(file, out)).status == 0);
  const fs::path weights = runs / "tvlars_lr=1_seed=1/weights.safetensors";
  const auto time = fs::last_write_time(weights);
  std::string longer = tiny_study;
  longer.replace(longer.find("seed = [1, 2]"), 13, "seed = [1, 2, 3]");
  const Outcome added = run(study_command(write(folder / "longer.toml", longer), out));
  CHECK(added.status == 0);
  CHECK(added.err.find("[7/9] TVLARS, lr 0.5, seed 3: best ") != std::string::npos);
  CHECK(fs::last_write_time(weights) == time);  // not run again
  CHECK(read_file(out / "study.toml") == longer);
}

TEST_CASE("the run in which a study was stopped goes on from its checkpoint") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  std::string text = tiny_base;
  text.replace(text.find("epochs = 2"), 10, "epochs = 60");  // long enough to be stopped in its midst
  const fs::path file = write(folder / "long.toml", text);
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
  const fs::path file = write(folder / "tiny.toml",
                              tiny_base + "[[contender]]\nlabel = \"SGD\"\noptimizer = \"sgd\"\nlr = 1e30\n" +
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
  const fs::path file = write(folder / "tiny.toml", tiny_study), out = folder / "out";
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
  write(folder / "others/notes.txt", "mine");
  const Outcome others = run(study_command(file, folder / "others"));
  CHECK(others.status == 1);
  CHECK(others.err.find("is not a study's") != std::string::npos);
}

namespace {

// A run of the cell that was tested after each epoch.
RunResult result_of(const Cell& cell, const std::vector<double>& accuracies) {
  RunResult run;
  run.label = cell.label;
  run.config["options"] = to_json(cell.options);
  for (const double accuracy : accuracies) {
    EpochRow row;
    row.epoch = static_cast<std::int64_t>(run.epochs.size()) + 1;
    row.test_accuracy = accuracy;
    run.epochs.push_back(row);
  }
  run.complete = !accuracies.empty();
  if (accuracies.empty()) run.failure = "training diverged";
  return run;
}

}  // namespace

TEST_CASE("the table has means, deviations and the tuned option's best value") {
  const TemporaryFolder folder;
  const std::string text = tiny_base + "[grid]\nseed = [1, 2]\n[[contender]]\nlabel = \"A|B_1\"\n" +
                           "[contender.grid]\nlr = [1, 2, 3]\n[[contender]]\nlabel = \"C\"\nlr = 4\n";
  const Study plain = read_study(write(folder / "plain.toml", text));
  const std::vector<Cell> cells = plan_cells(plain);
  const std::vector<RunResult> results{
      result_of(cells[0], {0.5, 0.3}), result_of(cells[1], {0.2, 0.4}), result_of(cells[2], {0.9, 0.9}),
      result_of(cells[3], {0.1}),      result_of(cells[4], {0.6, 0.4}), result_of(cells[5], {0.2, 0.5}),
      result_of(cells[6], {}),         result_of(cells[7], {0.2}),
  };
  const StudyTable all = make_study_table(plain, cells, results);
  // lr 1: best 0.5 and 0.6, last 0.3 and 0.4; of two values, the deviation is half their distance times √2.
  CHECK(as_markdown(all) ==
        "| contender | lr | best % | last % | runs |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| A\\|B_1 | 1 | 55.00 ± 7.07 | 35.00 ± 7.07 | 2 |\n"
        "| A\\|B_1 | 2 | 45.00 ± 7.07 | 45.00 ± 7.07 | 2 |\n"
        "| A\\|B_1 | 3 | 90.00 | 90.00 | 1, 1 failed |\n"
        "| C | 4 | 15.00 ± 7.07 | 15.00 ± 7.07 | 2 |\n");
  CHECK(as_latex(all).find("  A|B\\_1 & 1 & 55.00 $\\pm$ 7.07 & 35.00 $\\pm$ 7.07 & 2 \\\\\n") !=
        std::string::npos);
  CHECK(runs_as_csv(cells, results).find("\na-b_1_lr=3_seed=2,A|B_1,3,2,failed,,,,,,0.0\n") !=
        std::string::npos);

  const auto chosen = [&](const std::string& by) {
    const Study study = read_study(write(folder / "tuned.toml", "tuned = \"lr\"\n" + by + text));
    const StudyTable table = make_study_table(study, cells, results);
    REQUIRE(table.rows.size() == 2);
    CHECK(table.note.find("on the test images") != std::string::npos);
    return table.rows[0].values[0];
  };
  CHECK(chosen("") == "2");  // 3 is better in the one seed that it got through
  CHECK(chosen("tuned_by = \"best_accuracy\"\n") == "1");
}

}  // namespace lamina::tests
