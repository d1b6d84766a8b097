// Numbers that nobody means are refused, for every option of every command.
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "apps/options.h"
#include "catch.h"
#include "message_of.h"
#include "program.h"

namespace lamina::tests {
namespace {

// A command, with arguments at which it ends at once if the number is taken.
const std::vector<Arguments> commands{{"train"},
                                      {"eval", "none"},
                                      {"predict", "none", "none.png"},
                                      {"replay", "--optimizer", "none"},
                                      {"report", "none"},
                                      {"study", "none.toml"},
                                      {"find-lr"},
                                      {"features", "none"},
                                      {"knn", "none"},
                                      {"linear", "none"},
                                      {"info"},
                                      {"bench", "train", "--model", "none"},
                                      {"bench", "ops", "--model", "none"},
                                      {"bench", "optimizer", "--model", "none"}};

// "--batch" for each line "  --batch INT=128   images …" of a command's help.
std::vector<std::string> number_flags(const Arguments& command) {
  std::istringstream help(run(command + Arguments{"--help"}).out);
  std::vector<std::string> flags;
  const std::regex option("^ +(--[a-z0-9-]+) (INT|UINT|FLOAT|GIB|LR).*");
  std::smatch found;
  for (std::string line; std::getline(help, line);)
    if (std::regex_match(line, found, option)) flags.push_back(found[1]);
  return flags;
}

bool refuses(const Arguments& command, const std::string& flag, const std::string& number) {
  const Outcome outcome = run(command + Arguments{flag, number});
  INFO(command[0] << " " << flag << " " << number << ": status " << outcome.status << "\n" << outcome.err);
  CHECK(outcome.status <= 2);  // and no signal
  const bool refused = outcome.status == 2 && outcome.err.starts_with("lamina: " + flag + " " + number + ":");
  if (refused) CHECK(outcome.err.find("expected") != std::string::npos);
  return refused;
}

// Large numbers that are taken, since what is too much depends on the rest: a run that diverges says so.
const std::set<std::string> unbounded{"--lr", "--lrs", "--weight-decay", "--clip-norm", "--from", "--to"};

}  // namespace

TEST_CASE("every option of every command refuses what is no number, not finite, negative or out of range") {
  std::size_t options = 0;
  for (const Arguments& command : commands) {
    for (const std::string& flag : number_flags(command)) {
      ++options;
      INFO(command.front() << " " << flag);
      for (const char* number : {"nan", "-nan", "inf", "-1", "-0.5", "5x", "", "1e400"})
        CHECK(refuses(command, flag, number));
      for (const char* number : {"1e30", "18446744073709551616"})
        CHECK(refuses(command, flag, number) != unbounded.contains(flag));
    }
  }
  CHECK(options > 100);
}

TEST_CASE("lists of numbers are given once, whole and without gaps") {
  for (const char* list : {"1,", ",1", "1,,2", "1 2", "1;2", "1,nan"}) {
    const Outcome outcome = run({"train", "--milestones", list});
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("--milestones") != std::string::npos);
  }
  CHECK(run({"train", "--milestones", "1", "--milestones", "2"}).err.find("--milestones 1,2") !=
        std::string::npos);
}

TEST_CASE("studies and programs have the same bounds") {
  train::Recipe recipe;
  const auto set = [&](const char* name, const nlohmann::json& value) {
    return message_of([&] { set_option(recipe, name, value); });
  };
  CHECK(set("seed", -1) == "seed: -1; expected a whole number of at least 0");
  CHECK(set("lr", std::numeric_limits<double>::quiet_NaN()).find("lr nan: expected") == 0);
  CHECK(set("milestones", {1, -2}).find("milestones -2: expected") == 0);
  CHECK(set("batch", 0) == "batch 0: expected a whole number of at least 1 and at most 1000000000");
  CHECK(set("batch", 1.5).find("expected a whole number") != std::string::npos);
  recipe = {};
  recipe.data = "synthetic";
  recipe.warmup_epochs = std::numeric_limits<double>::infinity();
  CHECK(message_of([&] { check_recipe(recipe); }).find("warmup_epochs inf: expected") == 0);
}

}  // namespace lamina::tests
