#include "train/knn.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/number.h"
#include "core/base/option_name.h"
#include "core/base/rounding.h"
#include "core/ops/matmul.h"
#include "data/file.h"

namespace lamina {
namespace {

constexpr std::int64_t queries_at_once = 128;  // their cosines with a bank of 50 000 take 25 MB a thread

// The additions are in the same order wherever the vectors lie.
double dot(const float* a, const float* b, std::int64_t n) {
  std::array<double, 8> sums{};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t j = 0; j < 8; ++j) {
      const auto at = i + static_cast<std::int64_t>(j);
      sums[j] += static_cast<double>(a[at]) * static_cast<double>(b[at]);
    }
  for (; i < n; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

// Features beside what cosines need of them.
struct Directions {
  explicit Directions(const Tensor& values) : features(values), unit(Tensor::empty_like(values)) {
    const std::int64_t width = values.size(1);
    for (std::int64_t i = 0; i < values.size(0); ++i) {
      const float* row = values.data<float>() + i * width;
      const double norm = std::sqrt(dot(row, row, width));
      inverse_norms.push_back(norm > 0 ? 1 / norm : 0);
      for (std::int64_t j = 0; j < width; ++j)
        unit.data<float>()[i * width + j] = static_cast<float>(row[j] * inverse_norms.back());
    }
  }

  Tensor features, unit;              // [N, D], and the same with rows of norm 1, rounded to f32
  std::vector<double> inverse_norms;  // 0 for a vector of zeros
};

struct Neighbour {
  double cosine = 0;
  std::int32_t label = 0;

  bool operator<(const Neighbour& other) const {  // nearer
    return cosine != other.cosine ? cosine > other.cosine : label < other.label;
  }
};

class Classifier {
 public:
  Classifier(const Features& bank, const KnnOptions& options)
      : bank_(bank.values),
        labels_(bank.labels),
        classes_(static_cast<std::size_t>(bank.classes())),
        k_(std::min(options.k, bank.size())),
        temperature_(options.temperature) {}

  std::int64_t k() const { return k_; }

  // For the queries [first, first + count).
  void classify(const Directions& queries, std::int64_t first, std::int64_t count,
                std::int32_t* predictions) const {
    const Tensor rough = matmul(queries.unit.rows(first, count), bank_.unit, {.transpose_b = true});
    std::vector<Neighbour> near;
    std::vector<float> sorted;
    for (std::int64_t i = 0; i < count; ++i) {
      find_nearest(queries, first + i, rough.data<float>() + i * bank_size(), sorted, near);
      predictions[i] = vote(near);
    }
  }

 private:
  std::int64_t bank_size() const { return bank_.features.size(0); }

  // f32 finds who can be among the k nearest, f64 who is: an error of a sum of D products of unit vectors is
  // below (D + 4) 2⁻²⁴, both that of the k-th nearest and that of a candidate.
  void find_nearest(const Directions& queries, std::int64_t query, const float* rough,
                    std::vector<float>& sorted, std::vector<Neighbour>& near) const {
    const std::int64_t width = bank_.features.size(1);
    sorted.assign(rough, rough + bank_size());
    std::nth_element(sorted.begin(), sorted.begin() + (k_ - 1), sorted.end(), std::greater<>());
    const float least =
        sorted[static_cast<std::size_t>(k_ - 1)] - 2 * static_cast<float>(width + 8) * std::ldexp(1.0f, -24);
    near.clear();
    const float* feature = queries.features.data<float>() + query * width;
    const double scale = queries.inverse_norms[static_cast<std::size_t>(query)];
    for (std::int64_t i = 0; i < bank_size(); ++i) {
      if (rough[i] < least) continue;
      const auto at = static_cast<std::size_t>(i);
      const double product = dot(feature, bank_.features.data<float>() + i * width, width);
      near.push_back({.cosine = product * (scale * bank_.inverse_norms[at]), .label = labels_[at]});
    }
    std::partial_sort(near.begin(), near.begin() + k_, near.end());
    near.resize(static_cast<std::size_t>(k_));
  }

  std::int32_t vote(const std::vector<Neighbour>& near) const {
    std::vector<double> scores(classes_);
    for (const Neighbour& neighbour : near)  // all divided by the first one's weight, so that none overflows
      scores[static_cast<std::size_t>(neighbour.label)] +=
          std::exp((neighbour.cosine - near.front().cosine) / temperature_);
    return static_cast<std::int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  }

  Directions bank_;
  std::vector<std::int32_t> labels_;
  std::size_t classes_;
  std::int64_t k_;
  double temperature_;
};

}  // namespace

KnnResult knn(const Features& bank, const Features& queries, const KnnOptions& options) {
  check_number(option_name("k"), options.k, at_least(1));
  check_number(option_name("temperature"), options.temperature, above(0));
  check_features(bank, "knn: the bank");
  check_features(queries, "knn: the queries");
  check(bank.width() == queries.width(), "knn: the bank has {} features an image, the queries have {}",
        bank.width(), queries.width());
  const Classifier classifier(bank, options);
  const Directions directions(queries.values);
  KnnResult result{
      .samples = queries.size(), .k = classifier.k(), .temperature = options.temperature, .predictions = {}};
  result.predictions.resize(queries.labels.size());
  data::for_each_index(ceil_div(queries.size(), queries_at_once), threads(), [&](std::int64_t block) {
    const std::int64_t first = block * queries_at_once;
    classifier.classify(directions, first, std::min(queries_at_once, queries.size() - first),
                        result.predictions.data() + first);
  });
  for (std::size_t i = 0; i < queries.labels.size(); ++i)
    result.correct += result.predictions[i] == queries.labels[i] ? 1 : 0;
  result.accuracy = static_cast<double>(result.correct) / static_cast<double>(result.samples);
  return result;
}

}  // namespace lamina
