// lamina train, whole: what a run writes, and that nothing but its options changes the weights.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/files/safetensors.h"
#include "program.h"

namespace lamina::tests {
namespace {

std::string weights_of_run(const Arguments& arguments, const fs::path& out) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return read_file(out / "weights.safetensors");
}

}  // namespace

TEST_CASE("train writes a run directory") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Outcome outcome = run(tiny_training(out, 3) + Arguments{"--trace"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);

  SECTION("with the options and what they came to") {
    const auto config = nlohmann::json::parse(read_file(out / "config.json"));
    CHECK(config["options"]["batch"] == 32);
    CHECK(config["options"]["seed"] == 1);
    CHECK(config["resolved"]["steps_per_epoch"] == 6);
    CHECK(config["resolved"]["shortcut"] == "A");
    CHECK(config["command"].get<std::string>().find("--model resnet8") != std::string::npos);
  }
  SECTION("with a row for every step and epoch") {
    const std::string steps = read_file(out / "steps.csv"), epochs = read_file(out / "epochs.csv");
    CHECK(std::count(steps.begin(), steps.end(), '\n') == 1 + 18);
    CHECK(std::count(epochs.begin(), epochs.end(), '\n') == 1 + 3);
    CHECK(epochs.starts_with("epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds"));
  }
  SECTION("with the newest two checkpoints and nothing half-written") {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(out)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    CHECK(names == std::vector<std::string>{"checkpoint-12.safetensors", "checkpoint-18.safetensors",
                                            "config.json", "epochs.csv", "evaluation.json", "steps.csv",
                                            "trace.safetensors", "weights.safetensors"});
  }
  SECTION("with a trace of every layer") {
    const TensorFile trace = read_tensors(out / "trace.safetensors");
    const auto layers = nlohmann::json::parse(trace.metadata.at("layers"));
    for (const char* name : {"weight_norm", "grad_norm", "update_norm", "ratio", "trust"}) {
      CHECK(trace.at(name).shape() == Shape{18, static_cast<std::int64_t>(layers.size())});
    }
    CHECK(trace.at("phi").shape() == Shape{18});
    CHECK(trace.at("lr").to_vector<float>().front() == 0.5f);
  }
  SECTION("and shows its course") {
    for (const char* part : {"resnet8", "multiply-adds", "6 steps an epoch, leaving out 8 images",
                             "tvlars:", "schedule", "best", "last", "weights.safetensors"}) {
      INFO(part);
      CHECK(outcome.out.find(part) != std::string::npos);
    }
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 3);
    CHECK(outcome.err.find("epoch 3/3  train loss ") != std::string::npos);
    CHECK(outcome.err.find('\r') == std::string::npos);
  }
}

TEST_CASE("a training starts from the weights of another, and is resumed without them") {
  const TemporaryFolder folder;
  const fs::path source = folder / "source", tuned = folder / "tuned", whole = folder / "whole";
  REQUIRE(run(tiny_training(source, 1)).status == 0);
  const auto from = [&](const fs::path& out, const fs::path& weights) {
    return tiny_training(out, 2) +
           Arguments{"--data", "synthetic:8x8x3x6", "--init-weights", weights.string()};
  };
  const Outcome started = run(from(whole, source / "weights.safetensors"));
  INFO(started.err);
  REQUIRE(started.status == 0);
  for (const char* part : {"weights.safetensors (resnet8 with the cifar stem, shortcut A and 4 classes)",
                           "taken: 42 of the model's 44 tensors",
                           "of another shape in the file, so initialised: fc.weight, fc.bias",
                           "note: its images were normalised with mean 0."}) {
    INFO(part << " is not in: " << started.out);
    CHECK(started.out.find(part) != std::string::npos);
  }
  const auto record = [](const fs::path& out) {
    return nlohmann::json::parse(read_file(out / "config.json"))["resolved"]["initial_weights"];
  };
  CHECK(record(whole)["file"] == (source / "weights.safetensors").string());
  CHECK(record(whole)["taken"].size() == 42);

  // From the checkpoint in the run's directory, which has the same weights; stopped, and the source is gone.
  {
    Program program(from(tuned, source) + Arguments{"--checkpoint-steps", "1"});
    REQUIRE(wait_until([&] {
      return fs::exists(tuned / "checkpoint-1.safetensors") || fs::exists(tuned / "checkpoint-2.safetensors");
    }));
    program.kill(SIGTERM);
    program.wait();
  }
  fs::remove_all(source);
  const Outcome resumed = run({"train", "--resume", "--out", tuned.string(), "--progress", "none"});
  INFO(resumed.err);
  REQUIRE(resumed.status == 0);
  CHECK(read_file(tuned / "weights.safetensors") == read_file(whole / "weights.safetensors"));
  CHECK(record(tuned)["taken"].size() == 42);

  REQUIRE(run(tiny_training(folder / "scratch", 2) + Arguments{"--data", "synthetic:8x8x3x6"}).status == 0);
  CHECK(steps_of(folder / "scratch") != steps_of(whole));
}

TEST_CASE("weights to start from that do not fit are refused before the run has a directory") {
  const TemporaryFolder folder;
  REQUIRE(run(tiny_training(folder / "source", 1)).status == 0);
  const fs::path out = folder / "run";
  const auto start = [&](const std::string& weights) {
    return run(tiny_training(out, 1) +
               Arguments{"--model", "resnet18", "--stem", "cifar", "--init-weights", weights});
  };
  const Outcome other = start((folder / "source").string());
  CHECK(other.status == 2);
  CHECK(other.err.find("none of its weights fits") != std::string::npos);
  CHECK(other.err.find("resnet8 with the cifar stem") != std::string::npos);
  CHECK(start((folder / "nothing").string()).status == 1);
  CHECK(start("").status == 2);
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("threads and workers do not change the weights") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& threads, const std::string& workers) {
    const fs::path out = folder / (threads + "-" + workers);
    Arguments arguments = tiny_training(out);
    arguments[static_cast<std::size_t>(std::find(arguments.begin(), arguments.end(), "--threads") -
                                       arguments.begin()) +
              1] = threads;
    return weights_of_run(arguments + Arguments{"--workers", workers}, out);
  };
  const std::string reference = train("1", "0");
  CHECK(train("2", "2") == reference);
  CHECK(train("4", "1") == reference);
}

TEST_CASE("seed and every other option of the recipe change the weights") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const Arguments& more) {
    return weights_of_run(tiny_training(folder / name, 1) + more, folder / name);
  };
  const std::string reference = train("reference", {});
  CHECK(train("again", {}) == reference);
  CHECK(train("seed", {"--seed", "2"}) != reference);
  CHECK(train("augment", {"--augment", "none"}) != reference);
  const std::string views = train("views", {"--augment", "solo-learn-barlow"});
  CHECK(views != reference);
  CHECK(train("views and cutout", {"--augment", "solo-learn-barlow", "--cutout", "4"}) != views);
  CHECK(train("normalise", {"--normalise", "imagenet"}) != reference);
  CHECK(train("cutout", {"--cutout", "4"}) != reference);
  CHECK(train("mixup", {"--mixup", "1"}) != reference);
  CHECK(train("smoothing", {"--label-smoothing", "0.1"}) != reference);
  CHECK(train("schedule", {"--schedule", "cosine"}) != reference);
  CHECK(train("sam", {"--sam", "0.1"}) != reference);
}

TEST_CASE("flags that are on by default can be turned off, in a config file too") {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.toml") << "deterministic = false\n";
  const auto deterministic = [&](const std::string& name, const Arguments& more) {
    const fs::path out = folder / name;
    REQUIRE(run(tiny_training(out, 1) + more).status == 0);
    return nlohmann::json::parse(read_file(out / "config.json"))["options"]["deterministic"].get<bool>();
  };
  const std::string file = (folder / "a.toml").string();
  CHECK(deterministic("default", {}));
  CHECK_FALSE(deterministic("off", {"--no-deterministic"}));
  CHECK_FALSE(deterministic("file", {"--config", file}));
  CHECK(deterministic("both", {"--config", file, "--deterministic"}));
}

TEST_CASE("--verbose says where memory goes, after the first step and at the end") {
  const TemporaryFolder folder;
  const Outcome outcome = run(tiny_training(folder / "run", 1) + Arguments{"--verbose"});
  CHECK(outcome.status == 0);
  const std::string line = "memory     cpu: ";
  CHECK(outcome.err.find(line) < outcome.err.find("epoch 1/1"));
  CHECK(outcome.out.find(line) > outcome.out.find("images/s"));
  CHECK(outcome.out.find(line) != std::string::npos);
  CHECK(run(tiny_training(folder / "quiet", 1)).err.find(line) == std::string::npos);
}

TEST_CASE("training learns") {
  const TemporaryFolder folder;
  const Outcome outcome =
      run(tiny_training(folder / "run", 4) + Arguments{"--limit-train", "1000", "--optimizer", "sgd"});
  REQUIRE(outcome.status == 0);
  const std::string epochs = epochs_of(folder / "run");
  const double accuracy = std::stod(epochs.substr(epochs.rfind(',') + 1));
  CHECK(accuracy > 0.5);  // chance is 0.25
}

TEST_CASE("a config file gives options, and the command line wins") {
  const TemporaryFolder folder;
  std::ofstream(folder / "tiny.toml")
      << "data = \"synthetic:8x8x3x4\"  # comment\nmodel = \"resnet8\"\nlimit_train = 64\n"
         "limit-test = 32\nepochs = 1\nbatch = 32\ntrace = true\n[set]\nmomentum = 0.5\n";
  const fs::path out = folder / "run";
  const Outcome outcome =
      run({"train", "--config", (folder / "tiny.toml").string(), "--batch", "16", "--out", out.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const auto options = nlohmann::json::parse(read_file(out / "config.json"))["options"];
  CHECK(options["batch"] == 16);
  CHECK(options["limit_train"] == 64);
  CHECK(options["trace"] == true);
  CHECK(options["set"] == nlohmann::json{"momentum=0.5"});
}

TEST_CASE("groups, frozen names, clipping and averages belong to a run's recipe") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Arguments options{
      "--group", "layer3.*:lr=0.1,decay=0", "--freeze", "conv1.*", "--clip-norm", "0.5", "--ema", "0.9"};
  const Outcome outcome = run(tiny_training(out, 1) + options);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  for (const char* part :
       {"max_grad_norm=0.5", "groups=layer3.*:lr=0.1,decay=0", "frozen         1          432"})
    CHECK(outcome.out.find(part) != std::string::npos);
  const auto config = nlohmann::json::parse(read_file(out / "config.json"));
  CHECK(config["options"]["ema"] == 0.9);
  CHECK(config["command"].get<std::string>().find("--freeze 'conv1.*'") != std::string::npos);
  for (const Arguments& other : {Arguments{"--group", "layer3.*:lr=0.2"},
                                 {"--freeze", "bn1.*"},
                                 {"--clip-norm", "1"},
                                 {"--ema", "0"}}) {
    const Outcome refused = run(Arguments{"train", "--resume", "--out", out.string()} + other);
    CHECK(refused.status == 2);
    CHECK(refused.err.find("  " + other[0] + ": ") != std::string::npos);
  }
  for (const Arguments& wrong :
       {Arguments{"--group", "layr3.*:lr=0.2"}, {"--freeze", "*"}, {"--clip-norm", "-1"}, {"--ema", "1"}}) {
    CHECK(run(tiny_training(folder / "wrong", 1) + wrong).status == 2);
    CHECK(!fs::exists(folder / "wrong"));
  }
}

TEST_CASE("find-lr suggests a learning rate and writes nothing") {
  const Arguments data{"--data", "synthetic:8x8x3x4", "--model", "resnet8", "--limit-train",
                       "64",     "--batch",           "32"};
  const Outcome outcome = run(Arguments{"find-lr", "--optimizer", "sgd", "--steps", "40", "--json"} + data);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  const auto json = nlohmann::json::parse(outcome.out);
  CHECK(json["trials"].size() > 5);
  CHECK(json["suggestion"].get<double>() == json["lowest_at"].get<double>() / 10);
  const Outcome table = run(Arguments{"find-lr", "--optimizer", "sgd", "--steps", "40"} + data);
  CHECK(table.out.find("suggestion: --lr ") != std::string::npos);
  CHECK(run({"find-lr"}).status == 2);
  const Outcome refused = run(Arguments{"find-lr", "--optimizer", "sgd", "--poly-power", "3"} + data);
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--poly-power does nothing without --schedule poly") != std::string::npos);
  CHECK(run(Arguments{"find-lr", "--from", "2", "--to", "1"} + data).status == 2);
}

}  // namespace lamina::tests
