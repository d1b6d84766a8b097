// A product of row-major matrices as the column-major one that BLAS computes.
#pragma once

#include <compare>
#include <cstdint>

#include "core/backend.h"

namespace lamina::cuda {

// gemm: C = op(A) op(B) with column-major op(A) [m, k], op(B) [k, n], C [m, n]; op transposes or does not,
// and element (i, j) of a matrix X lies at X[i + j * ldx].
//
// Column-major, our row-major matrices are their transposes, and out^T = op(b)^T op(a)^T: so BLAS' A is our b
// and its B our a, taken as they lie unless the options transpose them.
struct GemmLayout {
  bool transpose_a, transpose_b;
  std::int64_t m, n, k;
  std::int64_t lda, ldb, ldc;

  auto operator<=>(const GemmLayout&) const = default;
};

inline GemmLayout gemm_layout(const Shape& a, const Shape& b, const MatmulOptions& options) {
  const std::int64_t rows = a[options.transpose_a ? 1 : 0], columns = b[options.transpose_b ? 0 : 1];
  return {.transpose_a = options.transpose_b,
          .transpose_b = options.transpose_a,
          .m = columns,
          .n = rows,
          .k = a[options.transpose_a ? 0 : 1],
          .lda = b[1],
          .ldb = a[1],
          .ldc = columns};
}

}  // namespace lamina::cuda
