// Comparisons: which runs are of one contender, what it is called and what its runs came to on average.
#include <algorithm>
#include <cmath>

#include "compare/compared_options.h"
#include "compare/comparison.h"
#include "compare/named_data.h"
#include "compare/on_one_line.h"
#include "compare/settled_options.h"

namespace lamina::compare {
namespace {

nlohmann::json comparable_options(const RunResult& run, const std::string& data) {
  nlohmann::json options = nlohmann::json::object();
  for (const std::string& name : compared_options()) options[name] = comparable_value(run, name, data);
  return options;
}

struct ContenderRuns {
  Group group;
  std::string given_label;
  nlohmann::json options;  // as given
  nlohmann::json settled;  // what they came to
};

bool knows_knobs(const nlohmann::json& settled) { return settled["set"].is_object(); }

// Of settled options. What one does not name, a knob that its version did not have, is unknown.
bool same_knobs(const nlohmann::json& a, const nlohmann::json& b) {
  const nlohmann::json &ours = a["set"], &theirs = b["set"];
  return std::all_of(ours.items().begin(), ours.items().end(), [&](const auto& knob) {
    return !theirs.contains(knob.key()) || theirs[knob.key()] == knob.value();
  });
}

// What an option came to is unknown where that is only the option again.
bool same_but_for_knobs(const ContenderRuns& contender, const nlohmann::json& settled) {
  return std::all_of(settled.items().begin(), settled.items().end(), [&](const auto& item) {
    const nlohmann::json &ours = contender.settled[item.key()], &given = contender.options[item.key()];
    return item.key() == "set" || ours == item.value() || ours == given || item.value() == given;
  });
}

// Equal options come to other knobs, views or losses where a version has changed its defaults.
bool is_same_contender(const ContenderRuns& contender, const nlohmann::json& options,
                       const nlohmann::json& settled) {
  if (contender.settled == settled) return true;
  if (contender.options != options || !same_but_for_knobs(contender, settled)) return false;
  return !knows_knobs(contender.settled) || !knows_knobs(settled) || same_knobs(contender.settled, settled);
}

// Peers: the contenders that a label must tell apart.
bool differs(const std::string& name, const std::vector<const ContenderRuns*>& peers) {
  return std::any_of(peers.begin(), peers.end(), [&](const ContenderRuns* peer) {
    return peer->options[name] != peers.front()->options[name] &&
           peer->settled[name] != peers.front()->settled[name];
  });
}

// "lambda=0.02": those knobs set that are not set by all.
std::string describe_knobs(const ContenderRuns& contender, const std::vector<const ContenderRuns*>& peers) {
  std::string text;
  for (const nlohmann::json& knob : contender.options["set"]) {
    const std::string name = as_text(knob).substr(0, as_text(knob).find('='));
    const bool shared = std::all_of(peers.begin(), peers.end(), [&](const ContenderRuns* peer) {
      const nlohmann::json &theirs = peer->options["set"], &all = peer->settled["set"];
      return std::find(theirs.begin(), theirs.end(), knob) != theirs.end() ||
             (all.is_object() && all.contains(name) &&
              all[name] == contender.settled["set"].value(name, nlohmann::json()));
    });
    if (!shared) text += ", " + as_text(knob);
  }
  return text;
}

std::string short_path(const nlohmann::json& path, const std::string& option,
                       const std::vector<const ContenderRuns*>& peers) {
  std::vector<std::string> others;
  for (const ContenderRuns* peer : peers)
    if (peer->options[option].is_string()) others.push_back(peer->options[option].get<std::string>());
  return path.is_string() ? distinct_part(path.get<std::string>(), others) : as_text(path);
}

// ", trust_coefficient=0.01": the knobs that equal options of another came to otherwise.
std::string describe_settled(const ContenderRuns& contender, const std::vector<const ContenderRuns*>& peers) {
  std::string text;
  if (!knows_knobs(contender.settled)) return text;
  for (const auto& [knob, value] : contender.settled["set"].items()) {
    const bool told =
        std::any_of(peers.begin(), peers.end(), [&, &name = knob, &ours = value](const auto* peer) {
          const nlohmann::json& theirs = peer->settled["set"];
          return peer->options == contender.options && theirs.is_object() && theirs.value(name, ours) != ours;
        });
    if (told) text += fmt::format(", {}={}", knob, as_text(value));
  }
  return text;
}

// "lars, batch 512, warmup epochs 2": what differs among the peers and is not this program's default.
std::string describe(const ContenderRuns& contender, const std::vector<const ContenderRuns*>& peers) {
  std::string text = as_text(contender.options["optimizer"]);
  for (const std::string& name : compared_options()) {
    if (name == "optimizer" || !differs(name, peers)) continue;
    const nlohmann::json& value = contender.options[name];
    if (name == "set") {
      text += describe_knobs(contender, peers);
    } else if (name == "model" || name == "data") {
      text += ", " + as_text(value);
    } else if (value != option_defaults().at(name)) {
      std::string words = name;
      std::replace(words.begin(), words.end(), '_', ' ');
      text += ", " + words + " " + (name == "init_weights" ? short_path(value, name, peers) : as_text(value));
    }
  }
  return text + describe_settled(contender, peers);
}

std::string label_of(const ContenderRuns& contender, const std::vector<ContenderRuns>& contenders) {
  std::vector<const ContenderRuns*> peers;
  for (const ContenderRuns& other : contenders) {
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

}  // namespace

void average(Group& group) {
  std::vector<double> best, best_epoch, last, knn, linear, official, lambda_1, test_loss, loss, seconds;
  const auto add = [](std::vector<double>& values, double value) {
    if (!std::isnan(value)) values.push_back(value);
  };
  for (const RunResult& run : group.runs) {
    if (!run.complete) continue;
    if (const EpochRow* row = run.best()) {
      best.push_back(row->test_accuracy);
      best_epoch.push_back(static_cast<double>(row->epoch));
      last.push_back(run.last()->test_accuracy);
    }
    add(knn, run.knn_accuracy());
    add(linear, run.evaluated_accuracy("linear"));
    add(official, run.evaluated_accuracy("linear_as_official"));
    if (const double largest = run.lambda_1(); std::isfinite(largest)) lambda_1.push_back(largest);
    add(test_loss, last_test_loss(run));
    if (run.epochs.empty()) continue;  // never trained
    loss.push_back(run.epochs.back().train_loss);
    double sum = 0;
    for (const EpochRow& row : run.epochs) sum += row.seconds;
    seconds.push_back(sum);
  }
  group.best_accuracy = statistic(best);
  group.best_epoch = statistic(best_epoch);
  group.last_accuracy = statistic(last);
  group.knn_accuracy = statistic(knn);
  group.linear_accuracy = statistic(linear);
  group.linear_as_official_accuracy = statistic(official);
  if (group.curvatures().size() == 1) group.lambda_1 = statistic(lambda_1);
  group.last_test_loss = statistic(test_loss);
  group.last_train_loss = statistic(loss);
  group.seconds = statistic(seconds);
}

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

std::vector<Group> group_runs(const std::vector<RunResult>& runs) {
  std::vector<ContenderRuns> contenders;
  const std::vector<std::string> data = name_data(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunResult& run = runs[i];
    const nlohmann::json options = comparable_options(run, data[i]),
                         settled = settled_options(run.config, options);
    auto contender = std::find_if(contenders.begin(), contenders.end(), [&](const ContenderRuns& c) {
      return c.given_label == run.label && is_same_contender(c, options, settled);
    });
    if (contender == contenders.end()) {
      contenders.push_back({{}, run.label, options, settled});
      contender = contenders.end() - 1;
    }
    if (!knows_knobs(contender->settled)) contender->settled = settled;
    contender->group.runs.push_back(run);
    contender->group.runs.back().data = data[i];
  }
  std::vector<Group> groups;
  for (ContenderRuns& contender : contenders) {
    contender.group.label = on_one_line(label_of(contender, contenders));
    average(contender.group);
    groups.push_back(contender.group);
  }
  make_labels_unique(groups);
  return groups;
}

}  // namespace lamina::compare
