#include "train/host_data.h"

#include <sys/stat.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/memory_file.h"
#include "core/base/user_directories.h"
#include "core/files/safetensors.h"
#include "core/memory/allocator.h"

namespace lamina::train {
namespace {

// Of a directory, by which two ranks see whether theirs is the same one; empty: there is none.
std::string place_of(const std::string& spec) {
  const std::size_t colon = spec.find(':');
  const std::filesystem::path directory = colon == std::string::npos
                                              ? data::locate(spec)
                                              : std::filesystem::path(expand_home(spec.substr(colon + 1)));
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) return "";
  return fmt::format("{}:{}", status.st_dev, status.st_ino);
}

// Calls of each split that has images.
template <typename Data, typename Call>
void for_each_split(Data& data, const Call& call) {
  call("train", data.set.train);
  call("test", data.set.test);
  call("valid", data.valid);
}

TensorFile to_file(const TrainingData& data, const std::string& key) {
  TensorFile file;
  nlohmann::json told{{"name", data.set.name},
                      {"classes", data.set.classes},
                      {"notes", data.set.notes},
                      {"identity", to_json(data.set.identity)}};
  for_each_split(data, [&](const std::string& name, const data::Split& split) {
    if (split.size() == 0) return;
    file.tensors.emplace_back(name + ".images", split.images);
    file.tensors.emplace_back(name + ".labels", split.labels);
    told[name] = {{"mean", split.mean}, {"std", split.std}};
  });
  file.metadata = {{"key", key}, {"data", told.dump()}};
  return file;
}

TrainingData from_file(const TensorFile& file) {
  const nlohmann::json told = nlohmann::json::parse(file.metadata.at("data"));
  TrainingData data;
  data.set.name = told.at("name"), data.set.classes = told.at("classes"), data.set.notes = told.at("notes");
  data.set.identity = data::identity_from_json(told.at("identity"), "another rank");
  for_each_split(data, [&](const std::string& name, data::Split& split) {
    if (!told.contains(name)) return;
    split = {.images = file.at(name + ".images"),
             .labels = file.at(name + ".labels"),
             .mean = told.at(name).at("mean"),
             .std = told.at(name).at("std")};
  });
  return data;
}

// Null, which the data's notes then tell: they cannot be shared.
std::unique_ptr<MemoryFile> in_memory(TrainingData& data, const std::string& key) {
  try {
    auto file = std::make_unique<MemoryFile>();
    write_tensors(*file, to_file(data, key));
    file->seal();
    return file;
  } catch (const std::exception& error) {
    data.set.notes.push_back(fmt::format("each rank holds a copy: {}", error.what()));
    return nullptr;
  }
}

// Nothing where it cannot be read, or is another: that of a process which has this number elsewhere.
std::optional<TrainingData> read_memory(const std::filesystem::path& path, const std::string& key) {
  if (path.empty()) return std::nullopt;
  try {
    const TensorFile file = read_tensors(path, {.map_bytes = true});
    return file.metadata.at("key") == key ? std::optional(from_file(file)) : std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::string data_key(const ResolvedRecipe& recipe) {
  const Recipe& r = recipe.recipe;
  return fmt::format("{} in {}, limits {} {}, size {}, {} {}, valid {}, {}", r.data, place_of(r.data),
                     r.limit_train, r.limit_test, recipe.open.image_size, r.skip_damaged, r.max_pixels,
                     r.valid, r.normalise);
}

TrainingData open_on_host(const ResolvedRecipe& recipe, Collective* ranks,
                          const std::function<TrainingData()>& open) {
  if (ranks == nullptr || ranks->size() == 1) return open();
  const std::string key = data::reads_image_files(recipe.recipe.data) ? "" : data_key(recipe);
  const std::vector<std::string> keys = ranks->gather_on_host(key);
  const auto first = std::find(keys.begin(), keys.end(), key) - keys.begin();
  const bool shares = !key.empty() && std::count(keys.begin(), keys.end(), key) > 1;

  std::optional<TrainingData> own;
  std::unique_ptr<MemoryFile> file;
  if (shares && first == ranks->rank_on_host()) {
    own = open();
    file = in_memory(*own, key);
  }
  const std::vector<std::string> places = ranks->gather_on_host(file != nullptr ? file->path().string() : "");
  std::optional<TrainingData> shared =
      shares ? read_memory(places[static_cast<std::size_t>(first)], key) : std::nullopt;
  ranks->gather_on_host("");  // all have opened the file, which may go now
  if (shared) {
    own.reset();
    backend_for(Device::cpu()).allocator().empty_cache();  // of what lies in the file now
    return *std::move(shared);
  }
  return own ? *std::move(own) : open();
}

}  // namespace lamina::train
