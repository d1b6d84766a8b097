// Choices made by timing, kept in a file: two engines differ in their last bits, and which one is faster by a
// hair differs from run to run. What was chosen once is chosen again, also by a resumed run.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace lamina::cuda {

class PlanFile {
 public:
  // Lines of "key<TAB>choice", shared by all programs of a user. An empty path: there is no file. `patience`:
  // how long to wait for a program that measures; it may hang.
  explicit PlanFile(std::filesystem::path path, std::chrono::milliseconds patience = std::chrono::minutes(5))
      : path_(std::move(path)), patience_(patience) {}
  static PlanFile of_user();  // cuda-plans in cache_directory(); no file if there is none

  // The choice noted for `key`; if there is none, measure() decides, and is noted. Other programs wait
  // meanwhile: they neither disturb the measurement nor decide otherwise. Nothing if the file cannot be used,
  // or is not given free in time, which a note says. Throws what measure() throws.
  std::optional<int> choose(const std::string& key, const std::function<int()>& measure) const;

 private:
  std::filesystem::path path_;
  std::chrono::milliseconds patience_;
};

}  // namespace lamina::cuda
