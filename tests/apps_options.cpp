// Options: in config files, in config.json, on the command line.
#include "apps/config_file.h"
#include "apps/options.h"
#include "catch.h"
#include "core/base/error.h"
#include "message_of.h"
#include "program.h"

namespace lamina::tests {

using namespace app;
using namespace train;

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
  Recipe options;
  options.data = "cifar10:/somewhere";
  options.lr = 0.1;
  options.set = {"momentum=0.5"};
  options.group = {"layer4.*:lr=0.1,decay=0", "fc.weight:adapt=off"};
  options.freeze = {"conv1.*"};
  options.clip_norm = 2;
  options.milestones = {1.5, 3};
  options.seed = 18446744073709551615u;
  const nlohmann::json json = nlohmann::json::parse(to_json(options).dump());
  CHECK(to_json(recipe_from_json(json, "here")) == json);
  CHECK(command_line(options) ==
        "lamina train --data cifar10:/somewhere --set momentum=0.5 --lr 0.1 --clip-norm 2.0 "
        "--group 'layer4.*:lr=0.1,decay=0' --group fc.weight:adapt=off --freeze 'conv1.*' --milestones 1.5 "
        "--milestones 3.0 "
        "--seed 18446744073709551615");
  nlohmann::json broken = json;
  broken["epochs"] = "many";
  CHECK(unexplained([&] { recipe_from_json(broken, "here"); }, {"here", "\"many\""}) == "nothing");
  broken.erase("data");
  CHECK(unexplained([&] { recipe_from_json(broken, "here"); }, {"here", "no \"data\""}) == "nothing");
}

TEST_CASE("an option that config.json lacks has its default") {
  Recipe options;
  options.data = "synthetic";
  options.batch = 7;
  nlohmann::json json = to_json(options);
  for (const char* newer : {"tf32", "deterministic", "memory_limit"}) json.erase(newer);
  CHECK(to_json(recipe_from_json(json, "here")) == to_json(options));
  CHECK(list_differences(json, to_json(options)).empty());
}

TEST_CASE("an option that is on by default is repeated by its negation") {
  Recipe options;
  options.data = "synthetic";
  options.trace = true;
  options.deterministic = false;
  CHECK(command_line(options) == "lamina train --data synthetic --no-deterministic --trace");
}

}  // namespace lamina::tests
