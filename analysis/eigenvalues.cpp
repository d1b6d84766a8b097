#include "analysis/eigenvalues.h"

#include <algorithm>
#include <cmath>

#include "analysis/lanczos.h"
#include "analysis/vectors.h"
#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::analysis {
namespace {

constexpr int steps_between_checks = 5;

void check_options(const EigenOptions& options, std::int64_t n) {
  if (options.top < 1 || options.top > n)
    fail_usage("eigenvalues: {} = {} of a matrix with {} rows; expected 1 to {}", option_name("top"),
               options.top, n, n);
  if (!(options.tolerance > 0 && options.tolerance < 1))
    fail_usage("eigenvalues: tolerance {}; expected more than 0 and less than 1", options.tolerance);
  if (options.max_steps < 2) fail_usage("eigenvalues: max_steps {}; expected 2 or more", options.max_steps);
  if (options.power && options.top > 1)
    fail_usage("eigenvalues: power iteration finds one at either end; expected {} = 1, not {}",
               option_name("top"), options.top);
}

Tensor first_vector(std::int64_t n, DType dtype, const EigenOptions& options) {
  if (options.start.defined()) return options.start;
  return Tensor::randn({n}, {.dtype = dtype, .seed = options.seed, .draw = 0});
}

double largest_magnitude(const std::vector<double>& values) {
  return std::max(std::abs(values.front()), std::abs(values.back()));
}

// Whether the largest `top` Ritz pairs and the smallest have residuals within the tolerance.
bool within_tolerance(const RitzPairs& pairs, const EigenOptions& options) {
  const std::size_t m = pairs.values.size(), top = static_cast<std::size_t>(options.top);
  if (m < top) return false;
  const double bound = options.tolerance * largest_magnitude(pairs.values);
  bool good = pairs.residuals.front() <= bound;
  for (std::size_t i = 0; i < top; ++i) good = good && pairs.residuals[m - 1 - i] <= bound;
  return good;
}

// Rayleigh quotients yᵀHy and residuals ‖Hy − θy‖ of what was found, by products of their own.
void measure_residuals(const Operator& h, EigenResult& result, double tolerance) {
  std::vector<Tensor> vectors = result.vectors;
  vectors.push_back(result.smallest_vector);
  const std::vector<Tensor> products = h(vectors);
  result.products += static_cast<int>(products.size());
  for (std::size_t i = 0; i < products.size(); ++i) {
    const double theta = inner_product(vectors[i], products[i]);
    add_scaled(products[i], -theta, vectors[i]);
    result.values.push_back(theta);
    result.residuals.push_back(length(products[i]));
  }
  const double bound = tolerance * largest_magnitude(result.values);
  result.converged =
      std::all_of(result.residuals.begin(), result.residuals.end(), [&](double r) { return r <= bound; });
  result.smallest = result.values.back();
  result.smallest_residual = result.residuals.back();
  result.values.pop_back();
  result.residuals.pop_back();
}

EigenResult by_lanczos(const Operator& h, std::int64_t n, DType dtype, const EigenOptions& options) {
  const int most = static_cast<int>(std::min<std::int64_t>(options.max_steps, n));
  check_basis_fits(
      "eigenvalues", n, dtype, most + options.top + 3,
      "Take fewer steps, or, for the largest eigenvalue alone, power iteration, which is slow but "
      "needs 4");
  Lanczos lanczos(first_vector(n, dtype, options));
  RitzPairs pairs;
  while (lanczos.steps() < most && !lanczos.complete()) {
    lanczos.advance(h(std::span(&lanczos.vector(), 1)).front());
    if (lanczos.steps() % steps_between_checks != 0 && lanczos.steps() < most && !lanczos.complete())
      continue;
    pairs = lanczos.ritz();
    if (options.progress) options.progress(lanczos.steps(), pairs.values.back(), pairs.residuals.back());
    if (within_tolerance(pairs, options)) break;
  }
  EigenResult result;
  result.products = lanczos.steps();
  const std::size_t m = pairs.values.size(), top = std::min(m, static_cast<std::size_t>(options.top));
  for (std::size_t i = 0; i < top; ++i) result.vectors.push_back(lanczos.ritz_vector(pairs, m - 1 - i));
  result.smallest_vector = lanczos.ritz_vector(pairs, 0);
  return result;
}

// The eigenvector of H + shift whose eigenvalue has the largest absolute value.
Tensor power_iteration(const Operator& h, Tensor y, double shift, const EigenOptions& options,
                       EigenResult& result) {
  scale(y, 1 / length(y));
  for (int step = 1; step <= options.max_steps; ++step) {
    const Tensor product = h(std::span(&y, 1)).front();
    ++result.products;
    const double theta = inner_product(y, product);
    const Tensor next = product.clone();
    add_scaled(product, -theta, y);
    const double residual = length(product);
    if (options.progress && step % steps_between_checks == 0) options.progress(step, theta, residual);
    // The shift is the outermost |λ|, of which the tolerance is a part.
    if (residual <= options.tolerance * std::max(std::abs(theta), std::abs(shift))) break;
    add_scaled(next, shift, y);
    y = next;
    scale(y, 1 / length(y));
  }
  return y;
}

// With σ = |λ| of the largest one, H + σ and H − σ have λ_max and λ_min outermost.
EigenResult by_power(const Operator& h, std::int64_t n, DType dtype, const EigenOptions& options) {
  EigenResult result;
  const Tensor start = first_vector(n, dtype, options).clone();
  const Tensor outermost = power_iteration(h, start.clone(), 0, options, result);
  const double lambda = inner_product(outermost, h(std::span(&outermost, 1)).front());
  ++result.products;
  const Tensor other = power_iteration(h, start, lambda > 0 ? -lambda : std::abs(lambda), options, result);
  result.vectors.push_back(lambda > 0 ? outermost : other);
  result.smallest_vector = lambda > 0 ? other : outermost;
  return result;
}

}  // namespace

Operator hessian_of(const LossSurface& surface, Products products) {
  if (!products) products = [&surface](std::span<BlockProduct> blocks) { surface.products(blocks); };
  return [products, all = surface.all_parameters()](std::span<const Tensor> vectors) {
    std::vector<BlockProduct> whole;
    whole.reserve(vectors.size());
    for (const Tensor& v : vectors) whole.push_back({.parameters = all, .vector = v, .product = {}});
    products(whole);
    std::vector<Tensor> results;
    for (BlockProduct& block : whole) results.push_back(std::move(block.product));
    return results;
  };
}

void check_basis_fits(const char* operation, std::int64_t n, DType dtype, std::int64_t vectors,
                      const char* advice) {
  const double each = static_cast<double>(n) * static_cast<double>(size_of(dtype));
  const double all = each * static_cast<double>(vectors), available = static_cast<double>(available_memory());
  check(all <= available, "{}: {} vectors of {} elements take {:.1f} GiB, but {}; {} would fit. {}",
        operation, vectors, n, all / (1 << 30), describe_available_memory(),
        static_cast<std::int64_t>(available / each), advice);
}

EigenResult extreme_eigenvalues(const Operator& h, std::int64_t n, DType dtype, const EigenOptions& options) {
  check_options(options, n);
  EigenResult result = options.power ? by_power(h, n, dtype, options) : by_lanczos(h, n, dtype, options);
  measure_residuals(h, result, options.tolerance);
  return result;
}

}  // namespace lamina::analysis
