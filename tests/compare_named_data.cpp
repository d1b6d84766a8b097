// What the data of runs are called beside one another, and that other data are another contender.
#include "compare/named_data.h"

#include <nlohmann/json.hpp>

#include "catch.h"
#include "made_up_runs.h"

namespace lamina::tests {
namespace {

using namespace compare;
using Names = std::vector<std::string>;

data::DataIdentity flowers(const std::string& digest) {
  return {.name = "folder",
          .classes = {"rose", "tulip"},
          .train = {.images = 24, .digest = digest},
          .test = {.images = 12, .digest = "0"}};
}

class Runs {
 public:
  // A run as this version writes it, or, without an identity, an earlier one.
  void add(const std::string& data, const data::DataIdentity& identity = {}) {
    train::Recipe options = tiny_options();
    options.data = data;
    options.seed = runs_.size() + 1;
    const fs::path path = folder_ / std::to_string(runs_.size());
    write_run(path, options, {});
    runs_.push_back(read_run_result(path));
    if (identity.name.empty()) return;
    runs_.back().config["resolved"] = {{"data", to_json(identity)}};
  }
  Names names() const { return name_data(runs_); }
  std::size_t contenders() const { return group_runs(runs_).size(); }
  std::string label(std::size_t contender) const { return group_runs(runs_).at(contender).label; }

 private:
  TemporaryFolder folder_;
  std::vector<RunResult> runs_;
};

}  // namespace

TEST_CASE("a moved folder is the same data, another one another contender with its name") {
  Runs runs;
  runs.add("folder:/data/roses", flowers("a"));
  runs.add("folder:/moved", flowers("a"));
  CHECK(runs.contenders() == 1);
  runs.add("folder:/data/noise", flowers("b"));
  CHECK(runs.names() == Names{"folder:roses", "folder:roses", "folder:noise"});
  CHECK(runs.contenders() == 2);
  CHECK(runs.label(0).find("folder:roses") != std::string::npos);
  CHECK(runs.label(1).find("folder:noise") != std::string::npos);
}

TEST_CASE("data of one name are told apart by what differs") {
  Runs runs;
  runs.add("folder:/1/set", flowers("a"));
  data::DataIdentity more = flowers("b"), others = flowers("c");
  more.train.images = 36;
  runs.add("folder:/2/set/", more);
  CHECK(runs.names() == Names{"folder:set (24 + 12 images)", "folder:set (36 + 12 images)"});
  others.classes = {"rose", "lily"};
  runs.add("folder:/3/set", others);
  CHECK(runs.names()[0] == "folder:set (digests a + 0)");  // the others share its numbers or its classes
  CHECK(runs.names()[1] == "folder:set (36 + 12 images)");
  CHECK(runs.names()[2] == "folder:set (rose, lily)");
  runs.add("folder:/4/set", flowers("d"));
  CHECK(runs.names()[3] == "folder:set (digests d + 0)");
  CHECK(runs.contenders() == 4);
}

TEST_CASE("data sets of one name but other content are not averaged") {
  Runs runs;
  data::DataIdentity a = flowers("a"), b = flowers("b");
  a.name = b.name = "cifar10";
  runs.add("cifar10:/data/whole", a);
  runs.add("cifar10", a);
  CHECK(runs.names() == Names{"cifar10", "cifar10"});
  runs.add("cifar10:/data/part", b);
  CHECK(runs.names() == Names{"cifar10:whole", "cifar10:whole", "cifar10:part"});
}

TEST_CASE("runs of earlier versions go by the option, of a folder by its path") {
  Runs runs;
  runs.add("folder:/data/roses");
  runs.add("folder:/data/roses");
  runs.add("folder:/data/noise");
  runs.add("cifar10:/here");
  runs.add("cifar10:/there");
  CHECK(runs.names() == Names{"folder:roses", "folder:roses", "folder:noise", "cifar10", "cifar10"});
  data::DataIdentity same = flowers("a");  // as far as is known
  same.train.images = 100;
  runs.add("folder:/data/roses", same);
  CHECK(runs.contenders() == 3);
}

}  // namespace lamina::tests
