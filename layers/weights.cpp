#include "layers/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/json_number.h"
#include "core/base/list_names.h"
#include "core/base/printable.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape_ops.h"
#include "layers/foreign_weights.h"

namespace lamina {

namespace {

using nlohmann::json;

Tensor permuted(const Tensor& weight, const std::vector<int>& axes) {
  check(weight.rank() == 4, "convolution weight: {} has not 4 dimensions", weight);
  return permute(weight.detach().to(Device::cpu()), axes);
}

Shape file_shape(const Param& param) {
  const Shape& s = param.value.shape();
  return s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s;
}

// Of batches or dropout's masks: a file may lack it.
bool is_count(const std::string& name) {
  return name.ends_with("num_batches_tracked") || name.ends_with("num_masks");
}

// What a foreign file says there may be anything: it counts as unsaid, and is noted.
template <typename T>
std::vector<T> parse_list(const std::map<std::string, std::string>& metadata, const std::string& key,
                          std::vector<std::string>& notes) {
  constexpr std::size_t most = 40;  // bytes shown of it
  constexpr bool texts = std::is_same_v<T, std::string>;
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  const json list = json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  const auto fits = [](const json& element) {
    if constexpr (std::is_integral_v<T>) return whole_number<T>(element).has_value();
    if constexpr (texts) return element.is_string();
    // What overflows a float would be an infinity, which no list in a file can say.
    return element.is_number() && std::abs(element.get<double>()) <= std::numeric_limits<float>::max();
  };
  if (list.is_array() && std::all_of(list.begin(), list.end(), fits)) return list.get<std::vector<T>>();
  notes.push_back(fmt::format("\"{}\" in the metadata is \"{}{}\", not a list of {}: ignored", key,
                              printable(found->second.substr(0, most)),
                              found->second.size() > most ? "…" : "", texts ? "names" : "numbers"));
  return {};
}

std::string parse_text(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::string() : found->second;
}

std::optional<int> parse_size(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const std::string text = parse_text(metadata, key);
  const json number = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const std::optional<int> size = whole_number<int>(number);
  return size && *size >= 0 ? size : std::nullopt;
}

constexpr std::size_t most_listed = 3;

// "3 missing (a, b, …)"; empty for none.
void describe(std::string& text, const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  text += fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", names.size(), what,
                      list_names(names, most_listed));
}

// How a file and a model fit together.
struct Matching {
  std::vector<std::pair<Param*, const Tensor*>> pairs, different;  // different: in shape or type
  std::vector<std::string> missing, unexpected;
};

Matching match(const TensorFile& file, const ParamList& state) {
  Matching matching;
  std::map<std::string, const Tensor*> stored;
  for (const auto& [name, tensor] : file.tensors) stored[name] = &tensor;
  for (const auto& param : state) {
    const auto found = stored.find(param->name);
    if (found == stored.end()) {
      if (!is_count(param->name)) matching.missing.push_back(param->name);
      continue;
    }
    const Tensor& tensor = *found->second;
    const bool fits = is_count(param->name)
                          ? tensor.elements() == 1
                          : tensor.shape() == file_shape(*param) &&
                                is_floating(tensor.dtype()) == is_floating(param->value.dtype());
    (fits ? matching.pairs : matching.different).emplace_back(param.get(), &tensor);
    stored.erase(found);
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (stored.contains(name)) matching.unexpected.push_back(name);
  }
  return matching;
}

void check_fits(const Matching& matching, const TensorFile& file, bool strict, const std::string& source) {
  std::string text;
  if (strict) describe(text, "tensors are missing", matching.missing);
  if (strict) describe(text, "are unexpected", matching.unexpected);
  std::vector<std::string> different;
  for (const auto& [param, tensor] : matching.different) {
    different.push_back(fmt::format("{}: {}{} in the file, {}{} in the model", param->name,
                                    name_of(tensor->dtype()), tensor->shape().str(),
                                    name_of(param->value.dtype()), file_shape(*param).str()));
  }
  describe(text, "have another shape or type", different);
  check(text.empty(), "{}: does not fit the model: {}; the file's names and shapes are those of {}", source,
        text, probable_model(file).str());
}

void check_counts(const Matching& matching, const std::string& source) {
  for (const auto& [param, stored] : matching.pairs)
    if (is_count(param->name)) stored_count(*stored, source + ": " + param->name);
}

void set_values(const Matching& matching) {
  for (const auto& [param, stored] : matching.pairs) {
    if (is_count(param->name))
      param->value.fill(stored_count(*stored, param->name));
    else
      param->value.copy_from(from_file_layout(*param, *stored));
  }
}

// "conv1.weight [64, 3, 7, 7], layer1.0.conv1.weight [64, 64, 3, 3], … (20 in all)"
std::string list_weights(const ParamList& state) {
  std::vector<std::string> texts;
  for (const auto& param : state)
    if (param->kind == ParamKind::weight) texts.push_back(param->name + " " + file_shape(*param).str());
  return list_names_of_all(texts, most_listed);
}

// Biases, statistics and counts fit many a model by chance.
void check_any_fits(const Matching& matching, const TensorFile& file, const ParamList& state,
                    const std::string& source) {
  if (std::any_of(matching.pairs.begin(), matching.pairs.end(),
                  [](const auto& pair) { return pair.first->kind == ParamKind::weight; }))
    return;
  std::string holds;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors) names.push_back(name);
  describe(holds, "tensors", names);
  fail_usage(
      "{}: none of its weights fits the model. It holds {}, the names and shapes of {}. The model has {}",
      source, holds.empty() ? "nothing" : holds, probable_model(file).str(), list_weights(state));
}

}  // namespace

WeightInfo info_from_metadata(const std::map<std::string, std::string>& metadata,
                              std::vector<std::string>* notes) {
  std::vector<std::string> unheard;
  std::vector<std::string>& noted = notes != nullptr ? *notes : unheard;
  return {.model = parse_text(metadata, "model"),
          .stem = parse_text(metadata, "stem"),
          .shortcut = parse_text(metadata, "shortcut"),
          .classes = parse_list<std::string>(metadata, "classes", noted),
          .mean = parse_list<float>(metadata, "mean", noted),
          .std = parse_list<float>(metadata, "std", noted),
          .image_pixels = parse_list<int>(metadata, "image_pixels", noted),
          .image_size = parse_size(metadata, "image_size"),
          .data = parse_text(metadata, "data")};
}

std::map<std::string, std::string> metadata_from_info(const WeightInfo& info) {
  std::map<std::string, std::string> metadata{{"format", "pt"}};  // expected by some Python readers
  if (!info.model.empty()) metadata["model"] = info.model;
  if (!info.stem.empty()) metadata["stem"] = info.stem;
  if (!info.shortcut.empty()) metadata["shortcut"] = info.shortcut;
  if (!info.classes.empty()) metadata["classes"] = json(info.classes).dump();
  if (!info.mean.empty()) metadata["mean"] = fmt::format("[{}]", fmt::join(info.mean, ","));
  if (!info.std.empty()) metadata["std"] = fmt::format("[{}]", fmt::join(info.std, ","));
  if (!info.image_pixels.empty()) metadata["image_pixels"] = json(info.image_pixels).dump();
  if (info.image_size) metadata["image_size"] = std::to_string(*info.image_size);
  if (!info.data.empty()) metadata["data"] = info.data;
  return metadata;
}

Tensor ohwi_to_oihw(const Tensor& weight) { return permuted(weight, {0, 3, 1, 2}); }
Tensor oihw_to_ohwi(const Tensor& weight) { return permuted(weight, {0, 2, 3, 1}); }

Tensor to_file_layout(const Param& param) {
  if (param.value.rank() == 4) return ohwi_to_oihw(param.value);
  const Tensor value = param.value.detach();
  return value.device() == Device::cpu() ? value.clone() : value.to(Device::cpu());
}

Tensor from_file_layout(const Param& param, const Tensor& stored) {
  Tensor value = stored.rank() == 4 ? oihw_to_ohwi(stored) : stored.clone();
  if (value.dtype() != param.value.dtype()) value = cast(value, param.value.dtype());
  return value.to(param.value.device());
}

TensorFile to_tensor_file(const ParamList& state, const WeightInfo& info) {
  TensorFile file{.tensors = {}, .metadata = metadata_from_info(info)};
  for (const auto& param : state) {
    file.tensors.emplace_back(param->name, to_file_layout(*param));
    if (is_count(param->name)) file.as_i64.insert(param->name);
  }
  return file;
}

void save_weights(const std::filesystem::path& path, const Module& module, const WeightInfo& info) {
  write_tensors(path, to_tensor_file(module.state(), info));
}

LoadedWeights load_weights(const TensorFile& stored, const ParamList& state, bool strict,
                           const std::string& source) {
  LoadedWeights loaded;
  const TensorFile file = named_like(state, stored, loaded.notes);
  Matching matching = match(file, state);
  check_fits(matching, file, strict, source);
  check_counts(matching, source);
  set_values(matching);
  for (const auto& param : state) {
    if (is_count(param->name) && !file.contains(param->name)) param->value.fill(0);
  }
  loaded.info = info_from_metadata(file.metadata, &loaded.notes);
  loaded.missing = std::move(matching.missing);
  loaded.unexpected = std::move(matching.unexpected);
  return loaded;
}

LoadedWeights load_weights(const std::filesystem::path& path, Module& module, bool strict) {
  return load_weights(read_tensors(path), module.state(), strict, path.string());
}

MatchedWeights load_matching_weights(const TensorFile& stored, const ParamList& state,
                                     const std::string& source) {
  std::vector<std::string> notes;
  const TensorFile file = named_like(state, stored, notes);
  Matching matching = match(file, state);
  check_any_fits(matching, file, state, source);
  check_counts(matching, source);
  set_values(matching);
  MatchedWeights matched{.info = info_from_metadata(file.metadata, &notes),
                         .model = probable_model(file),
                         .taken = {},
                         .missing = std::move(matching.missing),
                         .other_shape = {},
                         .unexpected = std::move(matching.unexpected),
                         .notes = std::move(notes)};
  for (const auto& [param, tensor] : matching.pairs) matched.taken.push_back(param->name);
  for (const auto& [param, tensor] : matching.different) matched.other_shape.push_back(param->name);
  return matched;
}

MatchedWeights load_matching_weights(const std::filesystem::path& path, Module& module) {
  return load_matching_weights(read_tensors(path), module.state(), path.string());
}

WeightInfo read_weight_info(const std::filesystem::path& path) {
  return info_from_metadata(read_metadata(path));
}

}  // namespace lamina
