// Which classes a classifier takes for which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lamina {

// [true, predicted]: how many samples of the one class were taken for the other. Classes are counted from 0;
// every member throws Error for one that there is not.
class ConfusionMatrix {
 public:
  ConfusionMatrix() = default;
  explicit ConfusionMatrix(std::int64_t classes);

  void add(std::int64_t label, std::int64_t predicted, std::int64_t samples = 1);

  std::int64_t classes() const { return classes_; }
  std::int64_t count(std::int64_t label, std::int64_t predicted) const {
    return counts_[at(label, predicted)];
  }
  std::int64_t samples(std::int64_t label) const;  // of the class
  double accuracy(std::int64_t label) const;  // the share of them that was recognised; NaN without samples
  // The other class that most of them were taken for, the first of equals; -1: none was.
  std::int64_t most_confused_with(std::int64_t label) const;

 private:
  std::size_t at(std::int64_t label, std::int64_t predicted) const;

  std::int64_t classes_ = 0;
  std::vector<std::int64_t> counts_;  // [classes, classes]
};

}  // namespace lamina
