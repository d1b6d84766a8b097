#include "train/minimise.h"

#include <fmt/core.h>
#include <lbfgs.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>

#include "core/base/error.h"

namespace lamina::train {
namespace {

constexpr int corrections = 10;  // steps that the approximation of the Hessian is made of

double largest(std::span<const double> gradient) {
  double most = 0;
  for (const double g : gradient) most = std::isnan(g) ? g : std::max(most, std::abs(g));
  return most;
}

// What libLBFGS, which is C, calls back. No exception may pass through it.
class Search {
 public:
  Search(const SmoothFunction& function, const MinimiseOptions& options)
      : function_(function), options_(options) {}

  static double evaluate(void* search, const double* x, double* gradient, int n, double /*step*/) {
    auto& self = *static_cast<Search*>(search);
    const auto size = static_cast<std::size_t>(n);
    if (self.error_) return std::numeric_limits<double>::quiet_NaN();
    try {
      return self.function_({x, size}, {gradient, size});
    } catch (...) {
      self.error_ = std::current_exception();
      return std::numeric_limits<double>::quiet_NaN();
    }
  }

  static int progress(void* search, const double* /*x*/, const double* gradient, double value,
                      double /*x_norm*/, double /*gradient_norm*/, double /*step*/, int n, int iteration,
                      int /*evaluations*/) {
    auto& self = *static_cast<Search*>(search);
    self.result_.iterations = iteration;
    self.note(value, {gradient, static_cast<std::size_t>(n)});
    return self.result_.reached ? 1 : 0;  // 1 ends the search
  }

  void note(double value, std::span<const double> gradient) {
    result_.value = value;
    result_.gradient = largest(gradient);
    result_.reached = result_.gradient <= options_.gradient_bound;
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }
  Minimum& result() { return result_; }

 private:
  const SmoothFunction& function_;
  const MinimiseOptions& options_;
  std::exception_ptr error_;
  Minimum result_;
};

// Of the end of a search that did not come to the bound.
std::string reason_of(int status) {
  switch (status) {
    case LBFGSERR_MAXIMUMITERATION:
      return "the limit of iterations";
    case LBFGSERR_OUTOFMEMORY:
      return "memory";
    case LBFGSERR_ROUNDING_ERROR:
    case LBFGSERR_WIDTHTOOSMALL:
      return "rounding: no step along the search direction gains anything";
    case LBFGSERR_MAXIMUMSTEP:
      return "the line search, whose steps grew without end";
    case LBFGSERR_MAXIMUMLINESEARCH:
    case LBFGSERR_MINIMUMSTEP:
    case LBFGSERR_OUTOFINTERVAL:
    case LBFGSERR_INCORRECT_TMINMAX:
      return fmt::format("the line search, which found no step that gains enough (libLBFGS {})", status);
    case LBFGSERR_INCREASEGRADIENT:
      return "a search direction that leads upwards";
    default:
      return fmt::format("libLBFGS, status {}", status);
  }
}

}  // namespace

Minimum minimise(const SmoothFunction& function, std::vector<double>& x, const MinimiseOptions& options) {
  Search search(function, options);
  std::vector<double> gradient(x.size());
  const double value = function(x, gradient);
  search.note(value, gradient);
  if (search.result().reached) return search.result();

  lbfgs_parameter_t parameters;
  lbfgs_parameter_init(&parameters);
  parameters.m = corrections;
  parameters.epsilon = 0;  // its own criterion, ‖g‖ / ‖x‖, is not ours
  parameters.max_iterations = options.max_iterations;
  const int n = static_cast<int>(x.size());
  const std::unique_ptr<double, decltype(&lbfgs_free)> point(lbfgs_malloc(n), lbfgs_free);  // aligned
  check(point != nullptr, "minimise: no memory for {} variables", n);
  std::copy(x.begin(), x.end(), point.get());
  const int status = lbfgs(n, point.get(), nullptr, Search::evaluate, Search::progress, &search, &parameters);
  search.rethrow();
  std::copy(point.get(), point.get() + n, x.begin());
  search.note(function(x, gradient), gradient);  // a search that failed has gone back to where it began
  if (!search.result().reached) search.result().stopped_by = reason_of(status);
  return search.result();
}

}  // namespace lamina::train
