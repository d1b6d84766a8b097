// Options: in config files, in config.json, on the command line.
#include <sys/stat.h>

#include <algorithm>

#include "apps/config_file.h"
#include "apps/options.h"
#include "catch.h"
#include "core/base/error.h"
#include "message_of.h"
#include "program.h"
#include "train/without_effect.h"

namespace lamina::tests {

using namespace app;
using namespace train;

TEST_CASE("options of a config file come before those of the command line") {
  const TemporaryFolder folder;
  const std::string path = (folder / "a.toml").string();
  std::ofstream(path)
      << "# a comment\nlr_scaling = \"linear\"\ntrace = true\nlr = 1e-3\n[set]\nc = 0.5\nb = inf\n";
  CHECK(insert_config_files({"train", "--epochs", "3", "--config", path}) ==
        Arguments{"train", "--lr-scaling=linear", "--trace=true", "--lr=0.001", "--set=c=0.5", "--set=b=inf",
                  "--epochs", "3", "--config", path});
  std::ofstream(path) << "milestones = [1, 2.5]\nset = [\"a=1\", \"b=2\"]\n";
  CHECK(read_config_file(path) == Arguments{"--milestones=1,2.5", "--set=a=1", "--set=b=2"});
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
  options.sam = 0.05;
  options.sam_adaptive = true;
  options.sam_m = 32;
  options.milestones = {1.5, 3};
  options.seed = 18446744073709551615u;
  const nlohmann::json json = nlohmann::json::parse(to_json(options).dump());
  CHECK(to_json(recipe_from_json(json, "here")) == json);
  CHECK(command_line(options) ==
        "lamina train --data cifar10:/somewhere --set momentum=0.5 --lr 0.1 --clip-norm 2.0 "
        "--group 'layer4.*:lr=0.1,decay=0' --group fc.weight:adapt=off --freeze 'conv1.*' "
        "--milestones 1.5,3.0 --sam 0.05 --sam-adaptive --sam-m 32 --seed 18446744073709551615");
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

TEST_CASE("what is given later replaces what was given before, lists as a whole, knobs one by one") {
  const TemporaryFolder folder;
  const std::string a = (folder / "a.toml").string(), b = (folder / "b.toml").string();
  std::ofstream(a) << "milestones = [2, 4]\nlr = 1\ngroup = [\"x:lr=1\", \"y:lr=1\"]\n[set]\nc = 1\nd = 1\n";
  std::ofstream(b) << "lr = 2\ndeterministic = false\n[set]\nd = 2\n";
  const std::vector<std::pair<Arguments, Arguments>> cases{
      {{"--milestones", "5,6", "--config", a},
       {"--lr=1", "--group=x:lr=1", "--group=y:lr=1", "--set=c=1", "--set=d=1"}},
      {{"--group=z:lr=2", "--config", a, "--set", "d=3 e=4"}, {"--milestones=2,4", "--lr=1", "--set=c=1"}},
      {{"--config", a, "--config=" + b},
       {"--milestones=2,4", "--group=x:lr=1", "--group=y:lr=1", "--set=c=1", "--lr=2",
        "--deterministic=false", "--set=d=2"}},
      {{"--config", b, "--deterministic"}, {"--lr=2", "--set=d=2"}},
      {{"--config", b, "--no-deterministic", "--lr=3"}, {"--set=d=2"}},
  };
  for (const auto& [given, inserted] : cases) {
    INFO(given.front());
    CHECK(insert_config_files(Arguments{"train"} + given) == Arguments{"train"} + inserted + given);
  }
}

TEST_CASE("an option that is a knob, too, is replaced by either name") {
  const TemporaryFolder folder;
  const std::string knobs = (folder / "knobs.toml").string(), options = (folder / "options.toml").string();
  std::ofstream(knobs) << "[set]\nlr = 1\nmomentum = 0.1\nweight_decay = 0.1\nmax_grad_norm = 1\n";
  std::ofstream(options) << "lr = 2\nmomentum = 0.2\nweight_decay = 0.2\nclip_norm = 2\n";
  const Arguments by_option{"--lr", "3", "--momentum=0.3", "--weight-decay", "0.3", "--clip-norm=3"};
  const Arguments by_knob{"--set", "lr=3 momentum=0.3", "--set=weight_decay=0.3 max_grad_norm=3"};
  for (const std::string& file : {knobs, options})
    for (const Arguments& given : {by_option, by_knob}) {
      const Arguments all = given + Arguments{"--config", file};
      CHECK(insert_config_files(Arguments{"train"} + all) == Arguments{"train"} + all);
    }
  CHECK(insert_config_files({"train", "--config", knobs, "--config", options}) ==
        Arguments{"train", "--lr=2", "--momentum=0.2", "--weight-decay=0.2", "--clip-norm=2", "--config",
                  knobs, "--config", options});
}

TEST_CASE("a run's config.json gives its options; other things given for a config file are refused") {
  const TemporaryFolder folder;
  Recipe options;
  options.data = "synthetic";
  options.milestones = {1.5, 3};
  options.freeze = {"conv1.*"};
  options.set = {"momentum=0.5"};
  options.deterministic = false;
  options.seed = 18446744073709551615u;
  const fs::path path = folder / "config.json";
  const auto write = [&](const nlohmann::json& json) { std::ofstream(path) << json.dump(2); };
  write({{"lamina", "0.1.0"}, {"options", to_json(options)}});
  const Arguments given = read_config_file(path);
  for (const char* argument : {"--data=synthetic", "--milestones=1.5,3", "--freeze=conv1.*",
                               "--set=momentum=0.5", "--deterministic=false", "--seed=18446744073709551615"})
    CHECK(std::count(given.begin(), given.end(), argument) == 1);
  CHECK(std::none_of(given.begin(), given.end(),
                     [](const std::string& argument) { return argument.starts_with("--stem"); }));
  write({{"lamina", "0.1.0"}});
  CHECK(unexplained([&] { read_config_file(path); }, {"config.json", "no \"options\""}) == "nothing");
  write({{"options", {{"objective", "hinge"}}}});
  CHECK(unexplained([&] { read_config_file(path); }, {"config.json", "program of its own"}) == "nothing");
  CHECK(unexplained([&] { read_config_file(folder.path()); }, {"a folder", "config.json"}) == "nothing");
  const fs::path pipe = folder / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(unexplained([&] { read_config_file(pipe); }, {"--config", "pipe", "not a regular file"}) ==
        "nothing");
}

TEST_CASE("the command that repeats a run is quoted for shells") {
  const TemporaryFolder folder;
  for (const std::string data :
       {"my data", "it's $HOME", "a\tb;c", "~/x", "{a,b}", "!!", "ü", "-x", "^a%b"}) {
    Recipe options;
    options.data = "folder:" + data;
    const std::string out = (folder / "out").string();
    const std::string script = "lamina() { printf '%s' \"$3\"; }; " + command_line(options) + " > " + out;
    std::ofstream(folder / "script") << script;
    REQUIRE(std::system(("sh " + (folder / "script").string()).c_str()) == 0);
    CHECK(read_file(out) == options.data);
  }
}

TEST_CASE(
    "options that do nothing are refused where they are given, and defaults are not held against anybody") {
  Recipe recipe;
  recipe.data = "synthetic";
  recipe.optimizer = "sgd";
  const auto refuses = [&](const char* option, const char* what) {
    check_effects(resolve(recipe), {"seed"});  // as for a run that is there: nobody has given it now
    const std::string text = message_of([&] { check_effects(resolve(recipe), {option}); });
    INFO(text);
    return text.find(what) != std::string::npos;
  };
  recipe.milestones = {5};
  CHECK(refuses("milestones", "milestones does nothing without schedule step"));
  recipe.schedule = "step";
  CHECK(refuses("milestones", "(no error)"));
  recipe.milestones = {5, 20};
  CHECK(refuses("milestones", "milestones 20: the run has 20 epochs"));
  recipe.milestones = {};
  CHECK(refuses("poly_power", "(no error)"));
  recipe.poly_power = 3;
  CHECK(refuses("poly_power", "without schedule poly"));
  recipe.lr_end = 0.1;
  CHECK(refuses("lr_end", "without schedule cosine or poly"));
  recipe.base_batch = 128;
  CHECK(refuses("base_batch", "(no error)"));  // the default learning rate is in terms of it
  recipe.lr = 0.1;
  CHECK(refuses("base_batch", "without lr_scaling linear or sqrt"));
  recipe.base_batch = 1000000000;  // there is none beyond it to compare with
  CHECK(refuses("base_batch", "without lr_scaling linear or sqrt"));
  recipe.set = {"lr=0.001*B/B_base"};
  CHECK(refuses("base_batch", "(no error)"));
}

TEST_CASE("an option that is on by default is repeated by its negation") {
  Recipe options;
  options.data = "synthetic";
  options.trace = true;
  options.deterministic = false;
  CHECK(command_line(options) == "lamina train --data synthetic --no-deterministic --trace");
}

}  // namespace lamina::tests
