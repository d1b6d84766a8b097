#include "compare/comparison.h"

#include <algorithm>
#include <cmath>

#include "compare/compared_options.h"
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

// "on_diagonal" for a column "train_on_diagonal".
std::vector<std::string> quantities_in(const fs::path& epochs) {
  constexpr std::string_view prefix = "train_";
  std::vector<std::string> names;
  if (!fs::exists(epochs)) return names;
  for (const std::string& column : csv_columns(epochs))
    if (column.starts_with(prefix) && column != "train_loss" && column != "train_accuracy")
      names.push_back(column.substr(prefix.size()));
  return names;
}

std::vector<EpochRow> read_epochs(const fs::path& path, const std::vector<std::string>& quantities) {
  if (!fs::exists(path)) return {};
  std::vector<std::string> optional{"train_accuracy", "test_accuracy", "valid_accuracy", "valid_loss",
                                    "knn_accuracy"};
  for (const std::string& name : quantities) optional.push_back("train_" + name);
  std::vector<EpochRow> epochs;
  for (const auto& row :
       read_csv(path, {"epoch", "train_loss", "test_loss", "seconds", "images_per_s"}, optional)) {
    epochs.push_back({.epoch = static_cast<std::int64_t>(row[0]),
                      .train_loss = row[1],
                      .train_accuracy = row[5],
                      .test_loss = row[2],
                      .test_accuracy = row[6],
                      .seconds = row[3],
                      .images_per_s = row[4],
                      .valid_accuracy = row[7],
                      .valid_loss = row[8],
                      .knn_accuracy = row[9],
                      .quantities = {row.begin() + 10, row.end()}});
  }
  return epochs;
}

const Json& options_of(const RunResult& run) { return run.config.at("options"); }

const Json& option(const RunResult& run, const std::string& name) {
  return option_or_default(options_of(run), name);
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

// "eps=1e-05 lambda=0.005"
std::string settings_text(const Json& settings) {
  std::string text;
  for (const auto& [name, value] : settings.items())
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, option_text(value));
  return text;
}

// Options of pretraining whose default stands for something that the run has chosen, and is to be named.
bool is_chosen_by_run(const std::string& name) {
  return name == "views" || name == "set_loss" || name == "projector" || name == "bn_batch";
}

// What an option that was not given became: "resolved" names it, or the optimizer's knob.
std::string resolved_text(const RunResult& run, const std::string& name) {
  const Json resolved = run.config.value("resolved", Json::object());
  if (resolved.contains(name)) return option_text(resolved[name]);
  if (name == "set_loss" && resolved.contains("loss")) return settings_text(resolved["loss"]);
  const Json knobs = resolved.value("knobs", Json::object());
  if (knobs.contains(name)) return option_text(knobs[name]);
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
    const std::string name = option_text(knob).substr(0, option_text(knob).find('='));
    const bool shared = std::all_of(peers.begin(), peers.end(), [&](const Contender* peer) {
      const Json &theirs = peer->options["set"], &all = peer->settled["set"];
      return std::find(theirs.begin(), theirs.end(), knob) != theirs.end() ||
             (all.is_object() && all.contains(name) &&
              all[name] == contender.settled["set"].value(name, Json()));
    });
    if (!shared) text += ", " + option_text(knob);
  }
  return text;
}

std::string short_path(const Json& path, const std::string& option,
                       const std::vector<const Contender*>& peers) {
  std::vector<std::string> others;
  for (const Contender* peer : peers)
    if (peer->options[option].is_string()) others.push_back(peer->options[option].get<std::string>());
  return path.is_string() ? distinct_part(path.get<std::string>(), others) : option_text(path);
}

// "lars, batch 512, warmup epochs 2": what differs among the peers and is not this program's default.
std::string describe(const Contender& contender, const std::vector<const Contender*>& peers) {
  std::string text = option_text(contender.options["optimizer"]);
  for (const std::string& name : compared_options()) {
    if (name == "optimizer" || !differs(name, peers)) continue;
    const Json& value = contender.options[name];
    if (name == "set") {
      text += describe_knobs(contender, peers);
    } else if (name == "model" || name == "data") {
      text += ", " + option_text(value);
    } else if (value != option_defaults().at(name)) {
      std::string words = name;
      std::replace(words.begin(), words.end(), '_', ' ');
      text +=
          ", " + words + " " + (name == "init_weights" ? short_path(value, name, peers) : option_text(value));
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
  std::vector<double> best, best_epoch, last, knn, test_loss, loss, seconds;
  for (const RunResult& run : group.runs) {
    if (!run.complete) continue;
    if (const EpochRow* row = run.best()) {
      best.push_back(row->test_accuracy);
      best_epoch.push_back(static_cast<double>(row->epoch));
      last.push_back(run.last()->test_accuracy);
    }
    if (const double accuracy = run.knn_accuracy(); !std::isnan(accuracy)) knn.push_back(accuracy);
    if (const double tested = last_test_loss(run); !std::isnan(tested)) test_loss.push_back(tested);
    loss.push_back(run.epochs.back().train_loss);
    double sum = 0;
    for (const EpochRow& row : run.epochs) sum += row.seconds;
    seconds.push_back(sum);
  }
  group.best_accuracy = statistic(best);
  group.best_epoch = statistic(best_epoch);
  group.last_accuracy = statistic(last);
  group.knn_accuracy = statistic(knn);
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

double RunResult::knn_accuracy() const {
  const auto row = std::find_if(epochs.rbegin(), epochs.rend(),
                                [](const EpochRow& epoch) { return !std::isnan(epoch.knn_accuracy); });
  return row == epochs.rend() ? std::nan("") : row->knn_accuracy;
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
          name, option_text(option(result, name)));
  }
  check(option(result, "set").is_array(), "{}: \"set\" is not an array", source);
  result.quantities = quantities_in(directory.file("epochs.csv"));
  result.epochs = read_epochs(directory.file("epochs.csv"), result.quantities);
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
  for (const std::string& name : compared_options_of(options_of(run))) {
    const Json value = comparable_value(run, name, run.data.empty() ? name_data({run}).front() : run.data);
    const bool chosen = is_chosen_by_run(name);
    options.push_back({name, value.is_null() || chosen ? resolved_text(run, name) : option_text(value),
                       !chosen && value == option_defaults().at(name)});
  }
  return options;
}

}  // namespace lamina::compare
