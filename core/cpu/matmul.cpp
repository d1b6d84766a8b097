// Matrix products by Eigen, single-threaded on fixed strips of the result: the bits do not depend on the
// number of threads.
#include <Eigen/Core>

#include <algorithm>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"

namespace lamina {
namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using MatrixView = Eigen::Map<Matrix<T>>;
template <typename T>
using ConstMatrixView = Eigen::Map<const Matrix<T>>;

// About 64 strips, but none so thin that packing the other operand for each would cost more than its product.
std::int64_t strip_size(std::int64_t extent) {
  const std::int64_t size = std::max<std::int64_t>(96, (extent + 63) / 64);
  return (size + 47) / 48 * 48;
}

// a is any Eigen expression of shape [m, k], b of [k, n].
template <typename A, typename B, typename T>
void multiply(const A& a, const B& b, MatrixView<T> out) {
  if (out.rows() >= out.cols()) {
    cpu::parallel_for(out.rows(), strip_size(out.rows()), [&](std::int64_t begin, std::int64_t end) {
      out.middleRows(begin, end - begin).noalias() = a.middleRows(begin, end - begin) * b;
    });
  } else {
    cpu::parallel_for(out.cols(), strip_size(out.cols()), [&](std::int64_t begin, std::int64_t end) {
      out.middleCols(begin, end - begin).noalias() = a * b.middleCols(begin, end - begin);
    });
  }
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  visit_floating(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    const ConstMatrixView<T> left(a.data<T>(), a.size(0), a.size(1));
    const ConstMatrixView<T> right(b.data<T>(), b.size(0), b.size(1));
    const MatrixView<T> result(out.data<T>(), out.size(0), out.size(1));
    if (options.transpose_a && options.transpose_b) {
      multiply(left.transpose(), right.transpose(), result);
    } else if (options.transpose_a) {
      multiply(left.transpose(), right, result);
    } else if (options.transpose_b) {
      multiply(left, right.transpose(), result);
    } else {
      multiply(left, right, result);
    }
  });
}

}  // namespace lamina
