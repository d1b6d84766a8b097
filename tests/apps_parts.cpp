// The parts the program is made of.
#include <cmath>

#include "apps/config_file.h"
#include "apps/csv.h"
#include "apps/interrupt.h"
#include "apps/progress.h"
#include "apps/run_directory.h"
#include "apps/table.h"
#include "apps/training.h"
#include "apps_program.h"
#include "catch.h"
#include "core/backend.h"
#include "core/error.h"
#include "data/synthetic.h"
#include "lamina/lamina.h"
#include "message_of.h"

namespace lamina::tests {

TEST_CASE("tables align text to the left and numbers to the right") {
  Table table({"name", "value"});
  table.add({"a", "1.5"});
  table.add({"φ longer", "-10"});
  CHECK(table.str() ==
        "name      value\n"
        "--------  -----\n"
        "a           1.5\n"
        "φ longer    -10\n");
  CHECK_THROWS_AS(table.add({"one cell"}), Error);
  CHECK(format_duration(3723.4) == "1:02:03");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(-1234567) == "-1,234,567");
}

namespace {

// How a process that does this ends: its exit status, or 128 + the signal that killed it.
template <typename Action>
int end_of(const Action& action) {
  const pid_t pid = fork();
  if (pid == 0) {
    ::close(STDERR_FILENO);
    for (const int number : {SIGINT, SIGTERM}) signal(number, SIG_DFL);  // not the test program's
    action();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a first Ctrl-C is noted, a second one ends the program") {
  CHECK(end_of([] {
          const InterruptHandler handler;
          raise(SIGTERM);
          _exit(InterruptHandler::signal());
        }) == SIGTERM);
  CHECK(end_of([] {
          const InterruptHandler handler;
          raise(SIGINT);
          raise(SIGINT);
        }) == 128 + SIGINT);
  CHECK(end_of([] {
          const InterruptHandler study;
          {
            const InterruptHandler first_run;
            raise(SIGINT);
          }
          const InterruptHandler second_run;
          _exit(InterruptHandler::signal());
        }) == SIGINT);
  CHECK(end_of([] {
          { const InterruptHandler handler; }
          raise(SIGINT);
        }) == 128 + SIGINT);
}

TEST_CASE("a CSV file is cut back to its last kept row") {
  const TemporaryFolder folder;
  const fs::path path = folder / "steps.csv";
  {
    CsvFile file(path, "step,loss", 0);
    file.add("1,0.5");
    file.add("2,0.25");
    CHECK(read_file(path) == "step,loss\n");
    file.flush();
    file.add("3,0.125");
  }
  std::ofstream(path, std::ios::app) << "4,0.06";  // cut short
  CHECK(read_file(path) == "step,loss\n1,0.5\n2,0.25\n3,0.125\n4,0.06");
  CHECK(CsvFile(path, "step,loss", 9).last() == 3);
  CHECK(CsvFile(path, "step,loss", 2).last() == 2);
  CHECK(read_file(path) == "step,loss\n1,0.5\n2,0.25\n");
  CHECK_THROWS_AS(CsvFile(path, "step,accuracy", 2), Error);
  CHECK(CsvFile(path, "step,loss", 0).last() == -1);
}

TEST_CASE("options of a config file come before those of the command line") {
  const TemporaryFolder folder;
  const std::string path = (folder / "a.toml").string();
  std::ofstream(path)
      << "# a comment\nlr_scaling = \"linear\"\ntrace = true\nlr = 1e-3\n[set]\nc = 0.5\nb = inf\n";
  CHECK(insert_config_file({"train", "--epochs", "3", "--config", path}) ==
        Arguments{"train", "--lr-scaling=linear", "--trace=true", "--lr=0.001", "--set", "c=0.5", "--set",
                  "b=inf", "--epochs", "3", "--config", path});
  std::ofstream(path) << "milestones = [1, 2.5]\nset = [\"a=1\", \"b=2\"]\n";
  CHECK(read_config_file(path) == Arguments{"--milestones=1", "--milestones=2.5", "--set=a=1", "--set=b=2"});
  std::ofstream(path) << "[optimizer]\nlr = 1\n";
  CHECK_THROWS_AS(read_config_file(path), UsageError);
  std::ofstream(path) << "lr = 1\nepochs = \n";
  CHECK(unexplained([&] { read_config_file(path); }, {"a.toml:2: "}) == "nothing");
  CHECK_THROWS_AS(read_config_file(folder.path()), Error);
}

TEST_CASE("options survive config.json") {
  TrainOptions options;
  options.data = "cifar10:/somewhere";
  options.lr = 0.1;
  options.set = {"momentum=0.5"};
  options.milestones = {1.5, 3};
  options.seed = 18446744073709551615u;
  const nlohmann::json json = nlohmann::json::parse(to_json(options).dump());
  CHECK(to_json(train_options_from_json(json, "here")) == json);
  CHECK(
      command_line(options) ==
      "lamina train --data cifar10:/somewhere --set momentum=0.5 --lr 0.1 --milestones 1.5 --milestones 3.0 "
      "--seed 18446744073709551615");
  nlohmann::json broken = json;
  broken["epochs"] = "many";
  CHECK(unexplained([&] { train_options_from_json(broken, "here"); }, {"here", "\"many\""}) == "nothing");
  broken.erase("data");
  CHECK(unexplained([&] { train_options_from_json(broken, "here"); }, {"here", "no \"data\""}) == "nothing");
}

TEST_CASE("an option that config.json lacks has its default") {
  TrainOptions options;
  options.data = "synthetic";
  options.batch = 7;
  nlohmann::json json = to_json(options);
  for (const char* newer : {"tf32", "deterministic", "memory_limit"}) json.erase(newer);
  CHECK(to_json(train_options_from_json(json, "here")) == to_json(options));
  CHECK(list_differences(train_options_from_json(json, "here"), options).empty());
}

TEST_CASE("an option that is on by default is repeated by its negation") {
  TrainOptions options;
  options.data = "synthetic";
  options.trace = true;
  options.deterministic = false;
  CHECK(command_line(options) == "lamina train --data synthetic --no-deterministic --trace");
}

TEST_CASE("the gradients of micro-batches add up to that of the batch") {
  set_threads(1);  // tiny work: beside other programs, handing it from thread to thread takes longest
  const data::Dataset data = data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 48, .test = 8});
  const auto gradients = [&](std::int64_t micro_batch) {
    ResNet net = resnet8({.classes = 4, .seed = 3});
    net.eval();  // batch normalisation by running statistics: the one thing that sees the parts is out of
                 // play
    const data::Loader loader(data.train, {.batch = 48, .micro_batch = micro_batch, .seed = 1});
    Tensor sums = Tensor::zeros({2});
    for (const data::Batch& part : loader.epoch(0)) accumulate_gradients(net, part, 0.1, sums);
    std::vector<std::vector<float>> all;
    for (const auto& param : net.parameters()) all.push_back(param->grad().to_vector<float>());
    return all;
  };
  const auto whole = gradients(0);
  for (const std::int64_t micro_batch : {24, 16, 13}) {
    const auto parts = gradients(micro_batch);
    for (std::size_t p = 0; p < whole.size(); ++p) {
      double difference = 0, norm = 0;
      for (std::size_t i = 0; i < whole[p].size(); ++i) {
        difference += std::pow(parts[p][i] - whole[p][i], 2);
        norm += std::pow(whole[p][i], 2);
      }
      // f32 sums of 48 samples in another order: a few times 2^-24, grown through the layers
      CHECK(std::sqrt(difference) <= 1e-5 * std::sqrt(norm));
    }
  }
}

TEST_CASE("accuracy counts every image once") {
  set_threads(1);
  const data::Dataset data =
      data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 16, .test = 37});
  ResNet net = resnet8({.classes = 4, .seed = 3});
  const Evaluation whole = evaluate(net, data.test),
                   parts = evaluate(net, data.test, {.batch = 5, .workers = 0});
  CHECK(whole.samples == 37);
  CHECK(parts.samples == 37);
  CHECK(whole.correct == parts.correct);
  CHECK(accuracy(net, data.test) == static_cast<double>(whole.correct) / 37);
  CHECK(net.training());
}

}  // namespace lamina::tests
