// Runs read from their directories, grouped and averaged.
#include "compare/comparison.h"

#include <algorithm>
#include <cmath>

#include "catch.h"
#include "compare/settled_options.h"
#include "made_up_runs.h"
#include "message_of.h"
#include "train/recipe.h"

namespace lamina::tests {

using namespace compare;
namespace {

std::vector<std::string> labels_of(const std::vector<Group>& groups) {
  std::vector<std::string> labels;
  labels.reserve(groups.size());
  for (const Group& group : groups) labels.push_back(group.label);
  return labels;
}

}  // namespace

TEST_CASE("statistics are those computed by hand") {
  // 2, 4, 9: mean 5; deviations −3, −1, 4; their squares sum to 26; 26 / 2 = 13.
  const Statistic three = statistic({2, 4, 9});
  CHECK(three.mean == Approx(5).epsilon(1e-15));  // one rounding for each value
  CHECK(three.std == Approx(std::sqrt(13.0)).epsilon(1e-15));
  CHECK(three.count == 3);
  const Statistic one = statistic({0.25});
  CHECK((one.mean == 0.25 && one.std == 0 && one.count == 1));
  CHECK(statistic({}).count == 0);
}

TEST_CASE("a run is read as far as it got") {
  const TemporaryFolder folder;
  const fs::path path = folder / "run";
  train::Recipe options = tiny_options();
  options.epochs = 3;

  SECTION("complete: the best epoch is the first of equals, the last is the last tested") {
    write_run(path, options, {{2.0, 0.5}, {1.5, 0.75}, {1.0, 0.75}});
    const RunResult run = read_run_result(path);
    CHECK(run.complete);
    CHECK(run.best()->epoch == 2);
    CHECK(run.last()->epoch == 3);
    CHECK(run.last()->train_loss == 1.0);
    CHECK(run.seed() == 1);
  }
  SECTION("an epoch without a test counts, but not as the best") {
    write_run(path, options, {{2.0, 0.5}, {1.5, std::nan("")}, {1.0, std::nan("")}});
    const RunResult run = read_run_result(path);
    CHECK(run.complete);
    CHECK(run.last()->epoch == 1);
    write_run(path, options, {{2.0, std::nan("")}});
    CHECK(read_run_result(path).best() == nullptr);
  }
  SECTION("stopped, with its last line cut short") {
    write_run(path, options, {{2.0, 0.5}});
    std::ofstream(path / "epochs.csv", std::ios::app) << "2,1.5,0.";
    const RunResult run = read_run_result(path);
    CHECK_FALSE(run.complete);
    CHECK(run.epochs.size() == 1);
  }
  SECTION("with nothing but its configuration") {
    write_run(path, options, {});
    fs::remove(path / "epochs.csv");
    CHECK(read_run_result(path).epochs.empty());
    std::ofstream(path / "epochs.csv") << "epoch,train_lo";
    CHECK(read_run_result(path).epochs.empty());
  }
  SECTION("failed, even after its last epoch") {
    write_run(path, options, {{2.0, 0.5}, {1.5, 0.5}, {1.5, 0.5}});
    std::ofstream(path / "failure.txt") << "training diverged\n";
    const RunResult run = read_run_result(path);
    CHECK(run.failure == "training diverged");
    CHECK_FALSE(run.complete);
  }
}

TEST_CASE("a damaged run says what is wrong with which file") {
  const TemporaryFolder folder;
  const fs::path path = folder / "run";
  const auto read = [&] { read_run_result(path); };
  CHECK(unexplained(read, {"run", "does not exist"}) == "nothing");
  fs::create_directory(path);
  CHECK(unexplained(read, {"run", "empty"}) == "nothing");
  std::ofstream(path / "config.json") << "{ \"options\": ";
  CHECK(unexplained(read, {"config.json", "not a JSON object"}) == "nothing");
  std::ofstream(path / "config.json") << "{ \"options\": 3 }";
  CHECK(unexplained(read, {"config.json", "options"}) == "nothing");
  std::ofstream(path / "config.json") << "{ \"options\": { \"seed\": \"one\" } }";
  CHECK(unexplained(read, {"config.json", "seed", "one"}) == "nothing");

  write_run(path, tiny_options(), {});
  std::ofstream(path / "epochs.csv", std::ios::app) << "1,2,three,4,5,6,7\n";
  CHECK(unexplained(read, {"epochs.csv", "line 2", "three", "not a number"}) == "nothing");
  std::ofstream(path / "epochs.csv") << "epoch,loss\n1,2\n";
  CHECK(unexplained(read, {"epochs.csv", "no column \"train_loss\""}) == "nothing");
  write_run(path, tiny_options(), {});
  std::ofstream(path / "epochs.csv", std::ios::app) << "1,2\n";
  CHECK(unexplained(read, {"epochs.csv", "line 2", "2 cells", "7"}) == "nothing");
}

TEST_CASE("runs that differ in the seed alone are a group, averaged over the complete ones") {
  const TemporaryFolder folder;
  train::Recipe options = tiny_options();
  std::vector<RunResult> runs;
  const auto add = [&](const std::string& name, const std::vector<EpochLine>& epochs) {
    write_run(folder / name, options, epochs);
    runs.push_back(read_run_result(folder / name));
  };
  options.optimizer = "lars";
  add("lars-1", {{2.0, 0.50}, {1.0, 0.40}});
  options.optimizer = "lamb";
  add("lamb-1", {{2.0, 0.25}, {1.5, 0.30}});
  options.optimizer = "lars";
  options.seed = 2;
  options.threads = 1;  // changes no result
  options.trace = true;
  options.data = "cifar10:/elsewhere";
  add("lars-2", {{2.0, 0.50}, {2.0, 0.60}});
  options.seed = 3;
  add("lars-3", {{9.0, 0.99}});  // stopped: its 99 % do not count

  const std::vector<Group> groups = group_runs(runs);
  CHECK(labels_of(groups) == std::vector<std::string>{"lars", "lamb"});
  REQUIRE(groups[0].runs.size() == 3);
  CHECK(groups[0].complete() == 2);
  CHECK(groups[0].best_accuracy.mean == Approx(0.55));  // of 0.5 and 0.6
  CHECK(groups[0].best_accuracy.std == Approx(std::sqrt(2 * 0.05 * 0.05)));
  CHECK(groups[0].best_epoch.mean == 1.5);
  CHECK(groups[0].last_accuracy.mean == Approx(0.5));
  CHECK(groups[0].last_train_loss.mean == 1.5);
  CHECK(groups[0].seconds.mean == 20);  // two epochs of 10 s
  CHECK(groups[1].best_accuracy.count == 1);
  CHECK(describe_runs(groups[1]) == "1");
  CHECK(describe_runs(groups[0]) == "2 of 3, 1 unfinished");
}

TEST_CASE("failed runs are counted with their reason") {
  const TemporaryFolder folder;
  train::Recipe options = tiny_options();
  write_run(folder / "1", options, {{2.0, 0.5}, {1.0, 0.5}});
  options.seed = 2;
  write_run(folder / "2", options, {{2.0, 0.5}});
  std::ofstream(folder / "2" / "failure.txt") << "training diverged in epoch 2\n  the rest";
  const std::vector<Group> groups =
      group_runs({read_run_result(folder / "2"), read_run_result(folder / "1")});
  REQUIRE(groups.size() == 1);
  CHECK(describe_runs(groups[0]) == "1 of 2, 1 failed: training diverged in epoch 2");
  CHECK(groups[0].representative().path == folder / "1");
}

TEST_CASE("labels say how the options differ, and tell every two groups apart") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  const auto add = [&](const train::Recipe& options, const std::string& label = "") {
    const fs::path path = folder / std::to_string(runs.size());
    write_run(path, options, {});
    runs.push_back(read_run_result(path, label));
  };
  train::Recipe options = tiny_options();
  options.optimizer = "lars";
  options.set = {"trust_coefficient=0.01"};
  add(options);
  options.warmup_epochs = 2;
  add(options);
  options.optimizer = "tvlars";
  options.warmup_epochs = 0;
  options.set = {"trust_coefficient=0.01", "lambda=0.02"};
  add(options);
  SECTION("by themselves") {
    CHECK(labels_of(group_runs(runs)) ==
          std::vector<std::string>{"lars", "lars, warmup epochs 2", "tvlars, lambda=0.02"});
  }
  SECTION("beside given ones") {
    options.lr = 0.5;
    add(options, "mine\n");
    options.lr = 0.25;
    add(options, "yours");
    options.lr = 0.125;
    add(options, "yours");
    add(tiny_options(), "lars");
    CHECK(labels_of(group_runs(runs)) ==
          std::vector<std::string>{"lars", "lars, warmup epochs 2", "tvlars, lambda=0.02", "mine ",
                                   "yours (tvlars, lr 0.25)", "yours (tvlars, lr 0.125)", "lars (2)"});
  }
}

TEST_CASE("a default is no difference, whether it was given or not") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  const auto add = [&](const train::Recipe& options, const std::string& momentum) {
    const fs::path path = folder / std::to_string(runs.size());
    write_run(path, options, {});
    nlohmann::json config = nlohmann::json::parse(read_file(path / "config.json"));
    config["resolved"]["optimizer"] = "sgd:pytorch";
    config["resolved"]["knobs"] = {{"lr", "0.1"}, {"momentum", momentum}, {"nesterov", "false"}};
    std::ofstream(path / "config.json") << config;
    runs.push_back(read_run_result(path));
  };
  train::Recipe options = tiny_options();
  options.optimizer = "sgd";
  add(options, "0.9");
  options.seed = 2;
  options.optimizer = "sgd:pytorch";
  options.momentum = 0.9;
  options.lr = 0.1;
  options.set = {"nesterov=false"};
  options.stem = "cifar";
  add(options, "0.9");
  CHECK(labels_of(group_runs(runs)) == std::vector<std::string>{"sgd"});
  options.batch = 512;
  add(options, "0.9");
  CHECK(labels_of(group_runs(runs)) == std::vector<std::string>{"sgd", "sgd:pytorch, batch 512"});
  options.momentum = 0.5;
  add(options, "0.5");
  CHECK(labels_of(group_runs(runs)) == std::vector<std::string>{"sgd", "sgd:pytorch, momentum 0.9, batch 512",
                                                                "sgd:pytorch, momentum 0.5, batch 512"});
}

TEST_CASE("runs of equal options and other knobs, of changed defaults, are no seeds of one contender") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  train::Recipe options = tiny_options();
  options.optimizer = "lars";
  const auto add = [&](const nlohmann::json& knobs) {
    const fs::path path = folder / std::to_string(runs.size());
    write_run(path, options, {});
    nlohmann::json config = nlohmann::json::parse(read_file(path / "config.json"));
    config["resolved"]["knobs"] = knobs;
    std::ofstream(path / "config.json") << config;
    runs.push_back(read_run_result(path));
    ++options.seed;
  };
  add({{"lr", "1"}, {"trust_coefficient", "0.01"}});
  add({{"lr", "1"}, {"trust_coefficient", "0.01"}, {"nesterov", "false"}});  // the first did not know that
  add({{"lr", "1"}, {"trust_coefficient", "0.001"}});
  add(nlohmann::json::object());  // which, is not known
  const std::vector<Group> groups = group_runs(runs);
  CHECK(labels_of(groups) ==
        std::vector<std::string>{"lars, trust_coefficient=0.01", "lars, trust_coefficient=0.001"});
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].runs.size() == 3);

  std::reverse(runs.begin(), runs.end());  // the unknown one takes the knobs of the first that says them
  const std::vector<Group> reversed = group_runs(runs);
  REQUIRE(reversed.size() == 2);
  CHECK((reversed[0].runs.size() == 2 && reversed[1].runs.size() == 2));
}

TEST_CASE("runs of equal options and other views or clipping, of changed defaults, are told apart") {
  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  train::Recipe options = tiny_options();
  const auto add = [&](const nlohmann::json& resolved) {
    const fs::path path = folder / std::to_string(runs.size());
    write_run(path, options, {});
    nlohmann::json config = nlohmann::json::parse(read_file(path / "config.json"));
    config["resolved"] = resolved;
    std::ofstream(path / "config.json") << config;
    runs.push_back(read_run_result(path));
    ++options.seed;
  };
  const nlohmann::json knobs{{"lr", "1"}, {"max_grad_norm", "2"}};
  add({{"knobs", knobs}, {"stem", "cifar"}});
  add({{"knobs", knobs}});  // which stem, is not known
  add({{"knobs", knobs}, {"stem", "imagenet"}});
  CHECK(group_runs(runs).size() == 2);
  runs.clear();
  options.clip_norm = 2;
  add({{"knobs", knobs}});
  options.clip_norm.reset();
  options.set = {"max_grad_norm=2"};
  add({{"knobs", knobs}});
  CHECK(group_runs(runs).size() == 1);
}

TEST_CASE("what cannot be looked at in a run is an error, not absent") {
  const TemporaryFolder folder;
  for (const char* file : {"epochs.csv", "failure.txt", "weights.safetensors"}) {
    const fs::path path = folder / file;
    write_run(path, tiny_options(), {});
    fs::remove(path / file);
    fs::create_symlink("/not/mounted", path / file);
    CHECK(unexplained([&] { read_run_result(path); }, {file, "a link to /not/mounted"}) == "nothing");
  }
}

TEST_CASE("paths in labels are as short as tells them apart") {
  const std::string a = "/data/runs/a/weights.safetensors", b = "/data/runs/b/weights.safetensors";
  CHECK(distinct_part(a, {a, b}) == "a");
  CHECK(distinct_part(a, {a}) == "weights.safetensors");
  CHECK(distinct_part("x/y", {"x/y/z"}) == "y");
  CHECK(distinct_part("x/y/z", {"x/y"}) == "z");

  const TemporaryFolder folder;
  std::vector<RunResult> runs;
  train::Recipe options = tiny_options();
  for (const std::string& weights : {a, b}) {
    options.init_weights = weights;
    write_run(folder / std::to_string(runs.size()), options, {});
    runs.push_back(read_run_result(folder / std::to_string(runs.size())));
  }
  const std::string optimizer = options.optimizer;
  CHECK(labels_of(group_runs(runs)) ==
        std::vector<std::string>{optimizer + ", init weights a", optimizer + ", init weights b"});
}

TEST_CASE("options are described by what the run made of them") {
  const TemporaryFolder folder;
  train::Recipe options = tiny_options();
  options.momentum = 0.5;
  write_run(folder / "run", options, {});
  const auto described = describe_options(read_run_result(folder / "run"));
  const auto value = [&](const std::string& name) {
    for (const DescribedOption& option : described)
      if (option.name == name) return option.value;
    return std::string("(none)");
  };
  CHECK(value("momentum") == "0.5");
  CHECK(value("weight_decay") == "0.0005");  // of the knobs
  CHECK(value("stem") == "cifar");           // of what was resolved
  CHECK(value("init") == "default");
  CHECK(value("lr") == "default");
  CHECK(value("data") == "cifar10");
  CHECK(value("seed") == "(none)");
  CHECK(value("threads") == "(none)");
}

}  // namespace lamina::tests
