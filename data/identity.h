// What a data set is, wherever it lies and whatever its files are called: runs are compared by it before they
// go on, count as done or are averaged.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace lamina::data {

struct Split;

struct SplitIdentity {
  std::int64_t images = 0;  // 0: unknown
  std::string digest = {};  // XXH3 of shape, pixels and labels, 16 hexadecimal digits; empty: unknown
};

// What a file of an earlier version does not say is 0 or empty: unknown.
struct DataIdentity {
  std::string name = {};                  // "cifar10", as Dataset::name
  std::vector<std::string> classes = {};  // in the order of the labels
  SplitIdentity train = {}, test = {};    // all images, before any limit
  SplitIdentity valid = {};               // of a program's own; a data set of open() has none
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<float> mean = {}, std = {};  // per channel, of the training images' pixels / 255
};

// Reads every pixel. The same digest for any number of threads (0: all cores that the process may use); an
// empty split is unknown.
SplitIdentity identity_of(const Split& split, int threads = 0);

// In words, what is known of both and differs: "class 0: cat there, zebra here". Empty: the same data, or not
// known to be others.
std::vector<std::string> data_differences(const DataIdentity& there, const DataIdentity& here);

// Whether two means or deviations differ by more than a quarter of a step of 8-bit pixels.
bool statistics_differ(const std::vector<float>& a, const std::vector<float>& b);

nlohmann::json to_json(const DataIdentity& identity);
// Throws Error naming `source` if a member is of the wrong type; a missing one is unknown.
DataIdentity identity_from_json(const nlohmann::json& json, const std::string& source);

}  // namespace lamina::data
