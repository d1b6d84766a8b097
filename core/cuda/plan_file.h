// Choices made by timing, kept in a file: two engines differ in their last bits, and which one is faster by a
// hair differs from run to run. What was chosen once is chosen again, also by a resumed run.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace lamina::cuda {

class PlanFile {
 public:
  // Lines of "key<TAB>choice", shared by all programs of a user. An empty path: there is no file.
  explicit PlanFile(std::filesystem::path path) : path_(std::move(path)) {}
  static PlanFile of_user();  // cuda-plans in cache_directory(); no file if there is none

  // The choice noted for `key`; if there is none, measure() decides, and is noted. Other programs wait
  // meanwhile: they neither disturb the measurement nor decide otherwise. Nothing if the file cannot be used.
  // Throws what measure() throws.
  std::optional<int> choose(const std::string& key, const std::function<int()>& measure) const;

 private:
  std::filesystem::path path_;
};

}  // namespace lamina::cuda
