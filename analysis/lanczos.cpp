#include "analysis/lanczos.h"

#include <algorithm>
#include <cmath>

#include "analysis/vectors.h"
#include "core/base/error.h"

namespace lamina::analysis {
namespace {

// What is left of a product after re-orthogonalisation is rounding below this part of the largest α.
double negligible(DType dtype) { return dtype == DType::f64 ? 1e-12 : 1e-6; }

Tensor normalised(const Tensor& x, double length_of_x) {
  Tensor unit = x.clone();
  scale(unit, 1 / length_of_x);
  return unit;
}

}  // namespace

Lanczos::Lanczos(const Tensor& start) {
  const double size = length(start);
  check(size > 0 && std::isfinite(size), "Lanczos: the first vector, {}, has length {}; expected more than 0",
        start, size);
  basis_.push_back(normalised(start, size));
}

// u = Hq_j − β_{j−1} q_{j−1} − α_j q_j, orthogonal to all q; then q_{j+1} = u/β_j.
void Lanczos::advance(const Tensor& product) {
  check(!complete_, "Lanczos: the space is complete after {} steps; there is no further vector", steps());
  const Tensor u = product.clone();
  const Tensor& q = basis_.back();
  const double alpha = inner_product(q, u);
  if (steps() > 0) {
    matrix_.off_diagonal.push_back(last_beta_);
    add_scaled(u, -last_beta_, basis_[basis_.size() - 2]);
  }
  add_scaled(u, -alpha, q);
  remove_components(u, basis_);
  matrix_.diagonal.push_back(alpha);
  last_beta_ = length(u);

  double largest = 0;
  for (const double a : matrix_.diagonal) largest = std::max(largest, std::abs(a));
  for (const double b : matrix_.off_diagonal) largest = std::max(largest, std::abs(b));
  complete_ = last_beta_ <= negligible(u.dtype()) * largest || std::ssize(basis_) == u.elements();
  if (!complete_) basis_.push_back(normalised(u, last_beta_));
}

RitzPairs Lanczos::ritz() const {
  check(steps() > 0, "Lanczos: no step was taken; expected one before Ritz values are asked for");
  SymmetricEigen found = eigen(matrix_);
  RitzPairs pairs;
  for (const std::vector<double>& s : found.vectors) {
    pairs.residuals.push_back(std::abs(last_beta_ * s.back()));
    pairs.weights.push_back(s.front() * s.front());
  }
  pairs.values = std::move(found.values);
  pairs.coefficients = std::move(found.vectors);
  return pairs;
}

Tensor Lanczos::ritz_vector(const RitzPairs& pairs, std::size_t index) const {
  const std::vector<double>& s = pairs.coefficients.at(index);
  Tensor y = combine(std::span(basis_).first(s.size()), s);
  scale(y, 1 / length(y));
  return y;
}

}  // namespace lamina::analysis
