#include "train/match_classes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/base/list_names.h"
#include "core/base/option_name.h"

namespace lamina::train {
namespace {

using Names = std::vector<std::string>;

bool has_repeated(const Names& names) {
  return std::set<std::string>(names.begin(), names.end()).size() < names.size();
}

Names missing_in(const Names& model, const Names& data) {
  Names missing;
  std::copy_if(data.begin(), data.end(), std::back_inserter(missing), [&](const std::string& name) {
    return std::find(model.begin(), model.end(), name) == model.end();
  });
  return missing;
}

ClassMatch match_by_position(const LoadedModel& model, const data::Dataset& data) {
  check(data.classes.size() == model.info.classes.size(), "{} has {} classes, {} tells {} apart", data.name,
        data.classes.size(), model.file.string(), model.info.classes.size());
  ClassMatch match{
      .outputs = {}, .names = model.names_classes ? model.info.classes : data.classes, .note = {}};
  match.outputs.resize(data.classes.size());
  std::iota(match.outputs.begin(), match.outputs.end(), 0);
  if (!model.names_classes) {
    match.note =
        fmt::format("{} does not name its classes; they are taken to be those of {}, in its order: {}",
                    model.file.string(), data.name, list_names(data.classes));
  } else if (data.classes != model.info.classes) {
    match.note =
        fmt::format("classes are matched by their position: those of {} ({}) are taken for those of {} ({})",
                    data.name, list_names(data.classes), model.file.string(), list_names(model.info.classes));
  }
  return match;
}

void check_names(const LoadedModel& model, const data::Dataset& data) {
  const Names &ours = model.info.classes, theirs = data.classes, missing = missing_in(ours, theirs);
  const auto lists = [&] {
    return fmt::format(
        "\n  classes of the data: {}\n  classes of the weights: {}\nTo match them by position "
        "all the same, give {}",
        list_names(theirs), list_names(ours), option_name("classes_by_position"));
  };
  check(missing.empty(), "{} of the {} classes of {} are none of the {} that {} tells apart: {}{}",
        missing.size(), theirs.size(), data.name, ours.size(), model.file.string(), list_names(missing),
        lists());
  check(!has_repeated(ours) && !has_repeated(theirs),
        "{} and {}: classes in another order, and a name stands for two of them{}", data.name,
        model.file.string(), lists());
}

}  // namespace

ClassMatch match_classes(const LoadedModel& model, const data::Dataset& data, bool by_position) {
  const Names& ours = model.info.classes;
  if (by_position || !model.names_classes || data.classes == ours) return match_by_position(model, data);
  check_names(model, data);
  ClassMatch match{.outputs = {}, .names = ours, .note = {}};
  for (const std::string& name : data.classes)
    match.outputs.push_back(
        static_cast<std::int32_t>(std::find(ours.begin(), ours.end(), name) - ours.begin()));
  const bool in_order = std::is_sorted(match.outputs.begin(), match.outputs.end());
  const std::string which = data.classes.size() < ours.size()
                                ? fmt::format("{} of the {} classes", data.classes.size(), ours.size())
                                : "the classes";
  match.note =
      fmt::format("{} has {} of {}{}; they are matched by name: {}", data.name, which, model.file.string(),
                  in_order ? "" : " in another order", list_names(data.classes));
  return match;
}

data::Split with_labels_of(const ClassMatch& match, const data::Split& split) {
  data::Split result = split;
  std::vector<std::int32_t> labels = split.labels.to_vector<std::int32_t>();
  for (std::int32_t& label : labels) label = match.outputs.at(static_cast<std::size_t>(label));
  result.labels = Tensor::from(labels, split.labels.shape());
  return result;
}

}  // namespace lamina::train
