#include "compare/named_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/base/list_names.h"
#include "train/recipe.h"
#include "train/run_config.h"

namespace lamina::compare {
namespace {

// A data set that some of the runs were trained on.
struct NamedData {
  std::string option;  // "folder:/data/flowers", as the first of them was told
  data::DataIdentity identity;

  bool is_known() const { return !identity.train.digest.empty(); }
  int known_digests() const { return (is_known() ? 1 : 0) + (identity.test.digest.empty() ? 0 : 1); }
};

NamedData data_of(const RunResult& run) {
  const nlohmann::json& value = run.config.at("options").value("data", nlohmann::json());
  return {.option = value.is_string() ? value.get<std::string>() : value.dump(),
          .identity = train::data_of_run(run.config, (run.path / "config.json").string())};
}

// Without digests, another folder may hold the same images under other labels.
bool may_be_same(const NamedData& a, const NamedData& b) {
  if (train::without_directory(a.option) != train::without_directory(b.option)) return false;
  if (!data::data_differences(a.identity, b.identity).empty()) return false;
  const bool is_folder = train::without_directory(a.option) == "folder";
  return (a.is_known() && b.is_known()) || !is_folder || a.option == b.option;
}

std::string last_component(const std::string& option) {
  const std::size_t colon = option.find(':');
  if (colon == std::string::npos) return option;
  const std::filesystem::path folder = std::filesystem::path(option.substr(colon + 1)).lexically_normal();
  const std::string last = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  return option.substr(0, colon + 1) + last;
}

// From short to long: the first name that no other data set has is taken.
std::vector<std::string> possible_names(const NamedData& data) {
  const std::string kind = train::without_directory(data.option);
  const std::string name = kind == data.option ? kind : last_component(data.option);
  std::vector<std::string> names{name};
  if (kind != "folder") names.insert(names.begin(), kind);
  const data::DataIdentity& d = data.identity;
  if (d.train.images > 0)
    names.push_back(fmt::format("{} ({} + {} images)", name, d.train.images, d.test.images));
  if (!d.classes.empty()) names.push_back(fmt::format("{} ({})", name, list_names(d.classes)));
  if (data.is_known())
    names.push_back(fmt::format("{} (digests {} + {})", name, d.train.digest, d.test.digest));
  names.push_back(data.option);
  return names;
}

std::string name_among(const std::vector<NamedData>& all, std::size_t index) {
  const std::vector<std::string> names = possible_names(all[index]);
  for (const std::string& name : names) {
    bool is_taken = false;
    for (std::size_t other = 0; other < all.size(); ++other) {
      const std::vector<std::string> theirs = possible_names(all[other]);
      is_taken |= other != index && std::find(theirs.begin(), theirs.end(), name) != theirs.end();
    }
    if (!is_taken) return name;
  }
  return fmt::format("{} ({})", names.back(), index + 1);
}

}  // namespace

std::vector<std::string> name_data(const std::vector<RunResult>& runs) {
  std::vector<NamedData> all;
  std::vector<std::size_t> of_run(runs.size());
  // The best known first: one of which less is known might be the same as several of them.
  for (const int digests : {2, 1, 0}) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const NamedData data = data_of(runs[i]);
      if (data.known_digests() != digests) continue;
      const auto same = std::find_if(all.begin(), all.end(),
                                     [&](const NamedData& other) { return may_be_same(data, other); });
      of_run[i] = static_cast<std::size_t>(same - all.begin());
      if (same == all.end()) all.push_back(data);
    }
  }
  std::vector<std::string> names;
  for (const std::size_t index : of_run) names.push_back(name_among(all, index));
  return names;
}

}  // namespace lamina::compare
