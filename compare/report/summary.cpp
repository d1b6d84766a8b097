#include "compare/report/summary.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "compare/compared_options.h"
#include "compare/report/html.h"
#include "compare/report/ranking.h"
#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/option_name.h"
#include "core/base/table.h"

namespace lamina::compare {
namespace {

// "1 seed", "3 seeds", "2 to 3 seeds"
std::string count_seeds(const std::vector<Group>& groups) {
  std::size_t least = groups.front().runs.size(), most = least;
  for (const Group& group : groups) {
    least = std::min(least, group.runs.size());
    most = std::max(most, group.runs.size());
  }
  const std::string count = least == most ? std::to_string(most) : fmt::format("{} to {}", least, most);
  return count + (most == 1 ? " seed" : " seeds");
}

// The values that the groups have of an option: "batch 256", or "batch 256, 512 and 1024".
std::string values_of(const std::vector<Group>& groups, const std::string& name) {
  std::vector<std::string> values;
  for (const Group& group : groups) {
    const std::string value = option_of(group, name);
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += i + 1 == values.size() ? " and " : ", ";
    text += values[i];
  }
  return escape_html(text);
}

std::string training_images(const std::vector<Group>& groups) {
  std::set<std::int64_t> counts;
  for (const Group& group : groups) {
    const auto resolved = group.representative().config.value("resolved", nlohmann::json::object());
    const auto images = resolved.find("train_images");
    if (images == resolved.end()) continue;
    if (const auto count = whole_number<std::int64_t>(*images)) counts.insert(*count);
  }
  return counts.size() == 1 ? fmt::format(" ({} training images)", format_count(*counts.begin())) : "";
}

// Where not all left the images as they are: ", --image-size 64 and 96".
std::string image_sizes(const std::vector<Group>& groups) {
  const std::string sizes = values_of(groups, "image_size");
  return sizes == "0" ? "" : fmt::format(", {} {}", option_name("image_size"), sizes);
}

std::string what_was_compared(const std::vector<Group>& groups) {
  const std::size_t runs =
      std::accumulate(groups.begin(), groups.end(), std::size_t{0},
                      [](std::size_t sum, const Group& group) { return sum + group.runs.size(); });
  const std::string epochs = values_of(groups, "epochs");
  return fmt::format("{}: {} on {}{}{}, batch {}, {} epoch{}, {}{}.",
                     groups.size() == 1 ? "One contender" : fmt::format("{} contenders", groups.size()),
                     values_of(groups, "model"), values_of(groups, "data"), training_images(groups),
                     image_sizes(groups), values_of(groups, "batch"), epochs, epochs == "1" ? "" : "s",
                     count_seeds(groups),
                     groups.size() == 1 ? "" : fmt::format(" each; {} runs in all", runs));
}

// How far a difference between two means can be trusted: against the standard error of the difference.
std::string caution(const Statistic& first, const Statistic& second) {
  if (first.count < 2 || second.count < 2) {
    return "With a single seed the spread is unknown: such a difference may be chance.";
  }
  const double difference = first.mean - second.mean;
  const auto variance_of_mean = [](const Statistic& s) {
    return s.std * s.std / static_cast<double>(s.count);
  };
  const double error = std::sqrt(variance_of_mean(first) + variance_of_mean(second));
  if (difference <= std::max(first.std, second.std)) {
    return "That is no more than a standard deviation over the seeds: these runs do not tell the two apart.";
  }
  if (difference <= 2 * error) {
    return "That is less than two standard errors of the difference: more seeds could turn it around.";
  }
  return fmt::format("That is {:.1f} standard errors of the difference.", difference / error);
}

std::string what_it_came_to(const std::vector<Group>& groups) {
  if (!tested_alike(groups)) {
    return " They were tested on different images, so their accuracies do not compare.";
  }
  const std::vector<const Group*> ranked = ranking(groups);
  if (ranked.empty()) return " No complete run has a test accuracy to compare.";
  const auto [score, of_one, of_several] = ranked_by(groups);
  const Group& best = *ranked.front();
  std::string text = fmt::format(
      " {} <b>{}</b>: {} %{}", groups.size() == 1 ? of_one : of_several, escape_html(best.label),
      percent(best.*score), (best.*score).count > 1 ? " (mean ± standard deviation over the seeds)" : "");
  if (ranked.size() == 1) return text + ".";
  const Group& second = *ranked[1];
  return text + fmt::format(", {:.2f} points above {} ({} %). {}",
                            100 * ((best.*score).mean - (second.*score).mean), escape_html(second.label),
                            percent(second.*score), caution(best.*score, second.*score));
}

// Of the best, by what contenders are ranked by. Several baselines, of other models say, are left to the
// table.
std::string what_training_added(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  Statistic Group::*const score = ranked_by(groups).accuracy;
  const std::vector<const Group*> ranked = ranking(groups);
  if (ranked.empty() || !tested_alike(groups) || baselines.size() != 1 ||
      (baselines.front().*score).count == 0)
    return "";
  const Group& baseline = baselines.front();
  const double added = 100 * ((ranked.front()->*score).mean - (baseline.*score).mean);
  return fmt::format(" The best is {:.2f} points {} {} ({} %).", std::abs(added),
                     added < 0 ? "below" : "above", escape_html(baseline.label), percent(baseline.*score));
}

std::string what_is_missing(const std::vector<Group>& groups) {
  std::size_t missing = 0;
  for (const Group& group : groups) missing += group.runs.size() - group.complete();
  if (missing == 0) return "";
  return fmt::format(" <b>{} run{} not complete</b> and left out of the averages.", missing,
                     missing == 1 ? " is" : "s are");
}

std::string repeated_seeds(const std::vector<Group>& groups) {
  std::string text;
  for (const Group& group : groups) {
    std::map<std::uint64_t, int> seeds;
    for (const RunResult& run : group.runs) ++seeds[run.seed()];
    for (const auto& [seed, count] : seeds) {
      if (count > 1) {
        text += fmt::format(" {} has {} runs of seed {}: they count as many, but are the same run.",
                            escape_html(group.label), count, seed);
      }
    }
  }
  return text;
}

}  // namespace

std::string summary_paragraph(const std::vector<Group>& groups, const std::vector<Group>& baselines) {
  return "<p class=\"lead\">" + what_was_compared(groups) + what_it_came_to(groups) +
         what_training_added(groups, baselines) + what_is_missing(groups) + repeated_seeds(groups) + "</p>\n";
}

}  // namespace lamina::compare
