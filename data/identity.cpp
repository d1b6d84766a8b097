#include "data/identity.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/list_names.h"
#include "core/base/rounding.h"
#include "data/dataset.h"
#include "data/file.h"

namespace lamina::data {

namespace {

using nlohmann::json;

// The chunks are the same for any number of threads, and so is the digest of their digests.
std::string digest_of(const Split& split, int threads) {
  constexpr std::int64_t chunk = 1024;  // images
  const Tensor images = split.images.to(Device::cpu()), labels = split.labels.to(Device::cpu());
  const std::int64_t chunks = ceil_div(images.size(0), chunk);
  std::vector<std::uint64_t> digests(static_cast<std::size_t>(chunks));
  for_each_index(chunks, threads, [&](std::int64_t i) {
    const std::int64_t first = i * chunk, count = std::min(chunk, images.size(0) - first);
    const Tensor part = images.rows(first, count);
    digests[static_cast<std::size_t>(i)] = digest_of_bytes(part.raw(), part.bytes());
  });
  digests.push_back(digest_of_bytes(labels.raw(), labels.bytes()));
  for (std::size_t axis = 0; axis < 4; ++axis)
    digests.push_back(static_cast<std::uint64_t>(images.size(static_cast<int>(axis))));
  return fmt::format("{:016x}", digest_of_bytes(digests.data(), digests.size() * sizeof(digests[0])));
}

// 0, unknown, where it is missing.
std::int64_t count_in(const json& object, const char* name) {
  return object.contains(name) ? whole_number_from_json<std::int64_t>(object[name]) : 0;
}

json to_json(const SplitIdentity& split) { return {{"images", split.images}, {"digest", split.digest}}; }

SplitIdentity split_from_json(const json& split) {
  return {.images = count_in(split, "images"), .digest = split.value("digest", std::string())};
}

std::string number_list(const std::vector<float>& numbers) {
  return fmt::format("{:.4f}", fmt::join(numbers, " "));
}

constexpr std::size_t most_named_classes = 5;

void compare_classes(const DataIdentity& there, const DataIdentity& here, std::vector<std::string>& found) {
  if (there.classes.empty() || here.classes.empty() || there.classes == here.classes) return;
  if (there.classes.size() != here.classes.size()) {
    found.push_back(fmt::format("classes: {} there ({}), {} here ({})", there.classes.size(),
                                list_names(there.classes), here.classes.size(), list_names(here.classes)));
    return;
  }
  std::size_t differing = 0;
  for (std::size_t i = 0; i < here.classes.size(); ++i) {
    if (there.classes[i] == here.classes[i] || ++differing > most_named_classes) continue;
    found.push_back(fmt::format("class {}: {} there, {} here", i, there.classes[i], here.classes[i]));
  }
  if (differing > most_named_classes)
    found.push_back(fmt::format("and {} more classes", differing - most_named_classes));
}

void compare_sizes(const DataIdentity& there, const DataIdentity& here, std::vector<std::string>& found) {
  const auto text = [](const DataIdentity& d) {
    return fmt::format("{}x{} pixels, {} channels", d.height, d.width, d.channels);
  };
  const bool known = there.height > 0 && here.height > 0;
  if (known && text(there) != text(here))
    found.push_back(fmt::format("images: {} there, {} here (height x width)", text(there), text(here)));
}

// Numbers tell more than digests, and so come first.
void compare_splits(const char* name, const SplitIdentity& there, const SplitIdentity& here, bool sizes_agree,
                    std::vector<std::string>& found) {
  if (there.images > 0 && here.images > 0 && there.images != here.images) {
    found.push_back(fmt::format("{} images: {} there, {} here", name, there.images, here.images));
  } else if (sizes_agree && !there.digest.empty() && !here.digest.empty() && there.digest != here.digest) {
    found.push_back(fmt::format("{} images: as many, but other pixels or labels (digest {} there, {} here)",
                                name, there.digest, here.digest));
  }
}

void compare_statistics(const DataIdentity& there, const DataIdentity& here,
                        std::vector<std::string>& found) {
  const auto compare = [&](const char* name, const std::vector<float>& a, const std::vector<float>& b) {
    if (!a.empty() && !b.empty() && a != b)
      found.push_back(
          fmt::format("{} of the training images: {} there, {} here", name, number_list(a), number_list(b)));
  };
  compare("mean", there.mean, here.mean);
  compare("deviation", there.std, here.std);
}

}  // namespace

SplitIdentity identity_of(const Split& split, int threads) {
  if (split.size() == 0) return {};
  return {.images = split.size(), .digest = digest_of(split, threads)};
}

std::vector<std::string> data_differences(const DataIdentity& there, const DataIdentity& here) {
  std::vector<std::string> found;
  if (!there.name.empty() && !here.name.empty() && there.name != here.name)
    found.push_back(fmt::format("data set: {} there, {} here", there.name, here.name));
  compare_classes(there, here, found);
  const std::size_t before = found.size();
  compare_sizes(there, here, found);
  const bool sizes_agree = found.size() == before;
  compare_splits("training", there.train, here.train, sizes_agree, found);
  compare_splits("test", there.test, here.test, sizes_agree, found);
  compare_splits("validation", there.valid, here.valid, sizes_agree, found);
  if (found.empty()) compare_statistics(there, here, found);  // they follow from all the rest
  return found;
}

bool statistics_differ(const std::vector<float>& a, const std::vector<float>& b) {
  constexpr float visible = 0.001f;
  return !std::equal(a.begin(), a.end(), b.begin(), b.end(),
                     [](float x, float y) { return std::abs(x - y) <= visible; });
}

nlohmann::json to_json(const DataIdentity& identity) {
  json object{
      {"name", identity.name},          {"classes", identity.classes}, {"train", to_json(identity.train)},
      {"test", to_json(identity.test)}, {"height", identity.height},   {"width", identity.width},
      {"channels", identity.channels},  {"mean", identity.mean},       {"std", identity.std}};
  if (identity.valid.images > 0) object["valid"] = to_json(identity.valid);
  return object;
}

DataIdentity identity_from_json(const nlohmann::json& given, const std::string& source) try {
  return {.name = given.value("name", std::string()),
          .classes = given.value("classes", std::vector<std::string>()),
          .train = split_from_json(given.value("train", json::object())),
          .test = split_from_json(given.value("test", json::object())),
          .valid = split_from_json(given.value("valid", json::object())),
          .height = count_in(given, "height"),
          .width = count_in(given, "width"),
          .channels = count_in(given, "channels"),
          .mean = given.value("mean", std::vector<float>()),
          .std = given.value("std", std::vector<float>())};
} catch (const std::exception& error) {
  fail("{}: what it says of its data is damaged: {}", source, error.what());
}

}  // namespace lamina::data
