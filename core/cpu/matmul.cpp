// Matrix products by Eigen, single-threaded on fixed parts of the problem: the bits do not depend on the
// number of threads.
#include <Eigen/Core>

#include <algorithm>

#include "core/cpu/cpu_backend.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using MatrixView = Eigen::Map<T, 0, Eigen::OuterStride<>>;

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// A row-major matrix as it lies in memory; `transposed` tells how the product takes it.
template <typename T>
struct Operand {
  const T* data;
  std::int64_t columns;
  bool transposed;

  MatrixView<const Matrix<T>> block(Range rows, Range cols) const {
    if (transposed) std::swap(rows, cols);
    return {data + rows.begin * columns + cols.begin, rows.size(), cols.size(),
            Eigen::OuterStride<>(columns)};
  }
};

template <typename T>
void multiply(const Operand<T>& a, const Operand<T>& b, Range rows, Range cols, Range depth,
              MatrixView<Matrix<T>> out) {
  const auto left = a.block(rows, depth), right = b.block(depth, cols);
  if (a.transposed && b.transposed) {
    out.noalias() = left.transpose() * right.transpose();
  } else if (a.transposed) {
    out.noalias() = left.transpose() * right;
  } else if (b.transposed) {
    out.noalias() = left * right.transpose();
  } else {
    out.noalias() = left * right;
  }
}

// About 64 strips of the longer side, but none so thin that packing the other operand for each would cost
// more than its product.
std::int64_t strip_size(std::int64_t extent) {
  const std::int64_t size = std::max<std::int64_t>(96, (extent + 63) / 64);
  return (size + 47) / 48 * 48;
}

template <typename T>
void multiply(const Operand<T>& a, const Operand<T>& b, std::int64_t rows, std::int64_t cols,
              std::int64_t depth, T* out) {
  const bool by_rows = rows >= cols;
  const std::int64_t extent = std::max(rows, cols);
  parallel_for(extent, strip_size(extent), [&](std::int64_t begin, std::int64_t end) {
    const Range strip_rows = by_rows ? Range{begin, end} : Range{0, rows};
    const Range strip_cols = by_rows ? Range{0, cols} : Range{begin, end};
    multiply(a, b, strip_rows, strip_cols, {0, depth},
             {out + strip_rows.begin * cols + strip_cols.begin, strip_rows.size(), strip_cols.size(),
              Eigen::OuterStride<>(cols)});
  });
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  visit_floating(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    const Operand<T> left{a.data<T>(), a.size(1), options.transpose_a};
    const Operand<T> right{b.data<T>(), b.size(1), options.transpose_b};
    multiply(left, right, out.size(0), out.size(1), a.size(options.transpose_a ? 0 : 1), out.data<T>());
  });
}

}  // namespace lamina
