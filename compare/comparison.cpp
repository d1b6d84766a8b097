#include "compare/comparison.h"

#include <algorithm>
#include <cmath>

#include "compare/named_data.h"
#include "compare/on_one_line.h"
#include "compare/settled_options.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/text_file.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string read_failure(const fs::path& path) {
  if (!fs::exists(path)) return "";
  std::string text = read_text(path);
  return text.erase(text.find_last_not_of(" \n") + 1);
}

std::vector<EpochRow> read_epochs(const fs::path& path) {
  if (!fs::exists(path)) return {};
  std::vector<EpochRow> epochs;
  for (const auto& row : read_csv(path, {"epoch", "train_loss", "test_loss", "seconds", "images_per_s"},
                                  {"train_accuracy", "test_accuracy", "valid_accuracy", "valid_loss"})) {
    epochs.push_back({.epoch = static_cast<std::int64_t>(row[0]),
                      .train_loss = row[1],
                      .train_accuracy = row[5],
                      .test_loss = row[2],
                      .test_accuracy = row[6],
                      .seconds = row[3],
                      .images_per_s = row[4],
                      .valid_accuracy = row[7],
                      .valid_loss = row[8]});
  }
  return epochs;
}

const Json& options_of(const RunResult& run) { return run.config.at("options"); }

// Runs of programs of one's own also say what they minimise and whether they transform images.
const Json& default_options() {
  static const Json defaults = [] {
    Json options = to_json(train::Recipe{});
    options["objective"] = "classification";
    options["transform"] = false;
    return options;
  }();
  return defaults;
}

// What a run of a version that did not have the option yet did: the default.
const Json& option(const RunResult& run, const std::string& name) {
  const auto found = options_of(run).find(name);
  return found == options_of(run).end() ? default_options().at(name) : *found;
}

bool changes_results(const train::OptionInfo& info) {
  const std::string name = info.name;
  if (name == "data") return true;  // its directory may change, the data may not
  return !info.may_change && name != "seed" && name != "trace" && name != "noise_scale";
}

// The names of the options that results depend on, but for the seed.
const std::vector<std::string>& compared_options() {
  static const auto names = [] {
    std::vector<std::string> list;
    const train::Recipe options;
    visit_options(options, [&](const train::OptionInfo& info, const auto&) {
      if (changes_results(info)) list.emplace_back(info.name);
    });
    list.emplace_back("objective");
    list.emplace_back("transform");
    return list;
  }();
  return names;
}

// Of the data, which may lie anywhere, what they are called among the runs compared.
Json comparable_value(const RunResult& run, const std::string& name, const std::string& data) {
  return name == "data" ? Json(data) : option(run, name);
}

Json comparable_options(const RunResult& run, const std::string& data) {
  Json options = Json::object();
  for (const std::string& name : compared_options()) options[name] = comparable_value(run, name, data);
  return options;
}

std::string as_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (const Json& element : value) text += (text.empty() ? "" : " ") + as_text(element);
  return text;
}

// What an option that was not given became: "resolved" names it, or the optimizer's knob.
std::string resolved_text(const RunResult& run, const std::string& name) {
  const Json resolved = run.config.value("resolved", Json::object());
  if (resolved.contains(name)) return as_text(resolved[name]);
  const Json knobs = resolved.value("knobs", Json::object());
  if (knobs.contains(name)) return as_text(knobs[name]);
  return name == "momentum" && !knobs.empty() ? "" : "default";  // not every optimizer has one
}

struct Contender {
  Group group;
  std::string given_label;
  Json options;  // as given
  Json settled;  // what they came to
};

// Peers: the contenders that a label must tell apart.
bool differs(const std::string& name, const std::vector<const Contender*>& peers) {
  return std::any_of(peers.begin(), peers.end(), [&](const Contender* peer) {
    return peer->options[name] != peers.front()->options[name] &&
           peer->settled[name] != peers.front()->settled[name];
  });
}

// "lambda=0.02": those knobs set that are not set by all.
std::string describe_knobs(const Contender& contender, const std::vector<const Contender*>& peers) {
  std::string text;
  for (const Json& knob : contender.options["set"]) {
    const std::string name = as_text(knob).substr(0, as_text(knob).find('='));
    const bool shared = std::all_of(peers.begin(), peers.end(), [&](const Contender* peer) {
      const Json &theirs = peer->options["set"], &all = peer->settled["set"];
      return std::find(theirs.begin(), theirs.end(), knob) != theirs.end() ||
             (all.is_object() && all.contains(name) &&
              all[name] == contender.settled["set"].value(name, Json()));
    });
    if (!shared) text += ", " + as_text(knob);
  }
  return text;
}

std::string short_path(const Json& path, const std::string& option,
                       const std::vector<const Contender*>& peers) {
  std::vector<std::string> others;
  for (const Contender* peer : peers)
    if (peer->options[option].is_string()) others.push_back(peer->options[option].get<std::string>());
  return path.is_string() ? distinct_part(path.get<std::string>(), others) : as_text(path);
}

// "lars, batch 512, warmup epochs 2": what differs among the peers and is not this program's default.
std::string describe(const Contender& contender, const std::vector<const Contender*>& peers) {
  std::string text = as_text(contender.options["optimizer"]);
  for (const std::string& name : compared_options()) {
    if (name == "optimizer" || !differs(name, peers)) continue;
    const Json& value = contender.options[name];
    if (name == "set") {
      text += describe_knobs(contender, peers);
    } else if (name == "model" || name == "data") {
      text += ", " + as_text(value);
    } else if (value != default_options().at(name)) {
      std::string words = name;
      std::replace(words.begin(), words.end(), '_', ' ');
      text += ", " + words + " " + (name == "init_weights" ? short_path(value, name, peers) : as_text(value));
    }
  }
  return text;
}

std::string label_of(const Contender& contender, const std::vector<Contender>& contenders) {
  std::vector<const Contender*> peers;
  for (const Contender& other : contenders) {
    if (other.given_label == contender.given_label) peers.push_back(&other);
  }
  if (contender.given_label.empty()) return describe(contender, peers);
  if (peers.size() == 1) return contender.given_label;
  return contender.given_label + " (" + describe(contender, peers) + ")";
}

// A label that was given may read like one made here.
void make_labels_unique(std::vector<Group>& groups) {
  for (std::size_t i = 1; i < groups.size(); ++i) {
    const std::string label = groups[i].label;
    const auto earlier = groups.begin() + static_cast<std::ptrdiff_t>(i);
    for (int n = 2; std::any_of(groups.begin(), earlier,
                                [&](const Group& other) { return other.label == groups[i].label; });
         ++n) {
      groups[i].label = fmt::format("{} ({})", label, n);
    }
  }
}

// NaN if it was never measured.
double last_test_loss(const RunResult& run) {
  const auto row = std::find_if(run.epochs.rbegin(), run.epochs.rend(),
                                [](const EpochRow& epoch) { return !std::isnan(epoch.test_loss); });
  return row == run.epochs.rend() ? std::nan("") : row->test_loss;
}

void average(Group& group) {
  std::vector<double> best, best_epoch, last, test_loss, loss, seconds;
  for (const RunResult& run : group.runs) {
    if (!run.complete) continue;
    if (const EpochRow* row = run.best()) {
      best.push_back(row->test_accuracy);
      best_epoch.push_back(static_cast<double>(row->epoch));
      last.push_back(run.last()->test_accuracy);
    }
    if (const double tested = last_test_loss(run); !std::isnan(tested)) test_loss.push_back(tested);
    loss.push_back(run.epochs.back().train_loss);
    double sum = 0;
    for (const EpochRow& row : run.epochs) sum += row.seconds;
    seconds.push_back(sum);
  }
  group.best_accuracy = statistic(best);
  group.best_epoch = statistic(best_epoch);
  group.last_accuracy = statistic(last);
  group.last_test_loss = statistic(test_loss);
  group.last_train_loss = statistic(loss);
  group.seconds = statistic(seconds);
}

}  // namespace

Statistic statistic(const std::vector<double>& values) {
  Statistic result{.count = values.size()};
  if (values.empty()) return result;
  const auto n = static_cast<double>(values.size());
  for (const double value : values) result.mean += value / n;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  if (values.size() > 1) result.std = std::sqrt(squares / (n - 1));
  return result;
}

std::uint64_t RunResult::seed() const { return option(*this, "seed").get<std::uint64_t>(); }

bool RunResult::validated() const {
  return std::any_of(epochs.begin(), epochs.end(),
                     [](const EpochRow& row) { return !std::isnan(row.valid_accuracy); });
}

const EpochRow* RunResult::best() const {
  const auto chosen_by = validated() ? &EpochRow::valid_accuracy : &EpochRow::test_accuracy;
  const EpochRow* best = nullptr;
  for (const EpochRow& row : epochs) {
    if (std::isnan(row.test_accuracy) || std::isnan(row.*chosen_by)) continue;
    if (best == nullptr || row.*chosen_by > best->*chosen_by) best = &row;
  }
  return best;
}

const EpochRow* RunResult::last() const {
  const auto tested = [](const EpochRow& row) { return !std::isnan(row.test_accuracy); };
  const auto row = std::find_if(epochs.rbegin(), epochs.rend(), tested);
  return row == epochs.rend() ? nullptr : &*row;
}

RunResult read_run_result(const fs::path& run, std::string label) {
  const train::RunDirectory directory = train::RunDirectory::open(run);
  const std::string source = directory.file("config.json").string();
  RunResult result;
  result.path = run;
  result.label = on_one_line(std::move(label));
  result.config = directory.read_config();
  check(result.config.contains("options") && result.config["options"].is_object(),
        "{}: no \"options\": not the configuration of a run", source);
  for (const char* name : {"seed", "epochs"}) {
    check(option(result, name).is_number_unsigned(), "{}: \"{}\" is {}, expected a whole number", source,
          name, as_text(option(result, name)));
  }
  check(option(result, "set").is_array(), "{}: \"set\" is not an array", source);
  result.epochs = read_epochs(directory.file("epochs.csv"));
  result.failure = read_failure(directory.file("failure.txt"));
  const auto epochs = option(result, "epochs").get<std::int64_t>();
  // The final weights are there before the last epoch of a run that was out of patience.
  const bool ended = fs::exists(directory.file("weights.safetensors"));
  result.complete =
      result.failure.empty() && !result.epochs.empty() && (ended || result.epochs.back().epoch >= epochs);
  return result;
}

std::size_t Group::complete() const {
  return static_cast<std::size_t>(
      std::count_if(runs.begin(), runs.end(), [](const RunResult& run) { return run.complete; }));
}

const RunResult& Group::representative() const {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [](const RunResult& run) { return run.complete; });
  return found == runs.end() ? runs.front() : *found;
}

std::vector<Group> group_runs(const std::vector<RunResult>& runs) {
  std::vector<Contender> contenders;
  const std::vector<std::string> data = name_data(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunResult& run = runs[i];
    const Json options = comparable_options(run, data[i]), settled = settled_options(run.config, options);
    auto contender = std::find_if(contenders.begin(), contenders.end(), [&](const Contender& c) {
      return c.given_label == run.label && (c.options == options || c.settled == settled);
    });
    if (contender == contenders.end()) {
      contenders.push_back({{}, run.label, options, settled});
      contender = contenders.end() - 1;
    }
    contender->group.runs.push_back(run);
    contender->group.runs.back().data = data[i];
  }
  std::vector<Group> groups;
  for (Contender& contender : contenders) {
    contender.group.label = on_one_line(label_of(contender, contenders));
    average(contender.group);
    groups.push_back(contender.group);
  }
  make_labels_unique(groups);
  return groups;
}

std::string describe_runs(const Group& group) {
  const std::size_t all = group.runs.size(), complete = group.complete();
  if (complete == all) return std::to_string(all);
  std::string failure;
  std::size_t failed = 0;
  for (const RunResult& run : group.runs) {
    if (run.failure.empty()) continue;
    ++failed;
    if (failure.empty()) failure = run.failure.substr(0, run.failure.find('\n'));
  }
  std::string text = fmt::format("{} of {}", complete, all);
  if (all - complete > failed) text += fmt::format(", {} unfinished", all - complete - failed);
  if (failed > 0) text += fmt::format(", {} failed: {}", failed, failure);
  return text;
}

std::vector<DescribedOption> describe_options(const RunResult& run) {
  std::vector<DescribedOption> options;
  for (const std::string& name : compared_options()) {
    const Json value = comparable_value(run, name, run.data.empty() ? name_data({run}).front() : run.data);
    options.push_back({name, value.is_null() ? resolved_text(run, name) : as_text(value),
                       value == default_options().at(name)});
  }
  return options;
}

}  // namespace lamina::compare
