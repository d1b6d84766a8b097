#include "analysis/trace_estimate.h"

#include <algorithm>
#include <cmath>

#include "analysis/vectors.h"
#include "core/base/error.h"

namespace lamina::analysis {
namespace {

// Mean and standard error of numbers that come one by one (Welford 1962).
class Running {
 public:
  void add(double x) {
    const double before = x - mean_;
    mean_ += before / ++n_;
    squares_ += before * (x - mean_);
  }
  Estimate estimate() const { return {mean_, n_ > 1 ? std::sqrt(squares_ / (n_ - 1) / n_) : 0}; }

 private:
  double n_ = 0, mean_ = 0, squares_ = 0;
};

void check_options(const TraceOptions& options) {
  if (options.least_probes < 2 || options.most_probes < options.least_probes || options.at_once < 1)
    fail_usage("trace: {} to {} probes, {} at once; expected 2 or more, rising, and 1 or more at once",
               options.least_probes, options.most_probes, options.at_once);
  if (!(options.relative_error > 0))
    fail_usage("trace: relative error {}; expected more than 0", options.relative_error);
  check(options.values.size() == options.vectors.size(), "trace: {} known eigenvalues with {} vectors",
        options.values.size(), options.vectors.size());
}

class Probes {
 public:
  Probes(const std::vector<ParameterRange>& ranges, const TraceOptions& options)
      : ranges_(ranges), options_(options), traces_(ranges.size()) {}

  void add(const Tensor& z, const Tensor& hz) {
    std::vector<double> projections;  // q·z
    for (const Tensor& q : options_.vectors) projections.push_back(inner_product(q, z));
    double sum = 0;
    for (std::size_t k = 0; k < ranges_.size(); ++k) {
      const auto within = [&](const Tensor& x) { return x.flat(ranges_[k].first, {ranges_[k].size}); };
      double of_range = inner_product(within(z), within(hz));
      for (std::size_t i = 0; i < projections.size(); ++i) {
        const Tensor q = within(options_.vectors[i]);
        of_range += options_.values[i] * (inner_product(q, q) - projections[i] * inner_product(q, within(z)));
      }
      traces_[k].add(of_range);
      sum += of_range;
    }
    trace_.add(sum);
    squares_.add(inner_product(hz, hz));
    ++count_;
  }

  bool enough() const {
    const Estimate estimate = trace_.estimate();
    return count_ >= options_.most_probes ||
           (count_ >= options_.least_probes &&
            estimate.standard_error <= options_.relative_error * std::abs(estimate.mean));
  }

  int count() const { return count_; }
  TraceResult result() const {
    TraceResult result{.trace = trace_.estimate(),
                       .ranges = {},
                       .frobenius = std::sqrt(squares_.estimate().mean),
                       .probes = count_};
    for (const Running& range : traces_) result.ranges.push_back(range.estimate());
    return result;
  }

 private:
  const std::vector<ParameterRange>& ranges_;
  const TraceOptions& options_;
  std::vector<Running> traces_;
  Running trace_, squares_;
  int count_ = 0;
};

}  // namespace

TraceResult estimate_trace(const Operator& h, const std::vector<ParameterRange>& ranges, DType dtype,
                           const TraceOptions& options) {
  check_options(options);
  const std::int64_t n = ranges.back().first + ranges.back().size;
  Probes probes(ranges, options);
  while (!probes.enough()) {
    std::vector<Tensor> z;
    for (int i = 0; i < std::min(options.at_once, options.most_probes - probes.count()); ++i)
      z.push_back(random_signs(n, dtype, options.seed, static_cast<std::uint32_t>(probes.count() + i)));
    const std::vector<Tensor> hz = h(z);
    for (std::size_t i = 0; i < z.size(); ++i) probes.add(z[i], hz[i]);
    const Estimate trace = probes.result().trace;
    if (options.progress) options.progress(probes.count(), trace.mean, trace.standard_error);
  }
  return probes.result();
}

}  // namespace lamina::analysis
