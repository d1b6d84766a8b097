#include "analysis/tridiagonal.h"

#include <Eigen/Eigenvalues>
#include <cmath>

#include "core/base/error.h"

namespace lamina::analysis {

namespace {

SymmetricEigen result_of(const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>& solver) {
  SymmetricEigen result;
  for (Eigen::Index i = 0; i < solver.eigenvalues().size(); ++i) {
    result.values.push_back(solver.eigenvalues()[i]);
    const Eigen::VectorXd vector = solver.eigenvectors().col(i);
    result.vectors.emplace_back(vector.begin(), vector.end());
  }
  return result;
}

}  // namespace

SymmetricEigen eigen(const Tridiagonal& matrix) {
  const auto m = static_cast<Eigen::Index>(matrix.diagonal.size());
  check(m > 0 && matrix.off_diagonal.size() + 1 == matrix.diagonal.size(),
        "eigenvalues: {} diagonal and {} off-diagonal elements; expected one less of these",
        matrix.diagonal.size(), matrix.off_diagonal.size());
  const Eigen::Map<const Eigen::VectorXd> diagonal(matrix.diagonal.data(), m);
  const Eigen::Map<const Eigen::VectorXd> off_diagonal(matrix.off_diagonal.data(), m - 1);
  check(diagonal.allFinite() && off_diagonal.allFinite(),
        "eigenvalues: the matrix has elements that are NaN or infinite");
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  solver.computeFromTridiagonal(diagonal, off_diagonal);
  check(solver.info() == Eigen::Success, "eigenvalues: no convergence for a tridiagonal matrix of {} rows",
        m);
  return result_of(solver);
}

SymmetricEigen eigen(const std::vector<double>& matrix) {
  const auto rows = static_cast<Eigen::Index>(std::lround(std::sqrt(static_cast<double>(matrix.size()))));
  check(rows > 0 && rows * rows == std::ssize(matrix),
        "eigenvalues: a matrix of {} elements; expected a square one", matrix.size());
  const Eigen::Map<const Eigen::MatrixXd> dense(matrix.data(), rows, rows);
  check(dense.allFinite(), "eigenvalues: the matrix has elements that are NaN or infinite");
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(dense);
  check(solver.info() == Eigen::Success, "eigenvalues: no convergence for a matrix of {} rows", rows);
  return result_of(solver);
}

}  // namespace lamina::analysis
