// What cuBLAS is asked for, computed by BLAS' definition of gemm, is the CPU's matmul.
#include <algorithm>
#include <vector>

#include "catch.h"
#include "core/cuda/gemm_layout.h"
#include "core/random.h"

namespace lamina::tests {
namespace {

Tensor draw(const Shape& shape, std::uint32_t sample) {
  const Random random{.stream = Stream::probe, .sample = sample};
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random.below(static_cast<std::uint32_t>(i), 17)) - 8;
  return Tensor::from(values, shape);
}

// C[i + j * ldc] = sum over l of op(A)(i, l) op(B)(l, j).
void gemm(const cuda::GemmLayout& g, const float* a, const float* b, float* c) {
  for (std::int64_t j = 0; j < g.n; ++j) {
    for (std::int64_t i = 0; i < g.m; ++i) {
      float sum = 0;
      for (std::int64_t l = 0; l < g.k; ++l)
        sum += (g.transpose_a ? a[l + i * g.lda] : a[i + l * g.lda]) *
               (g.transpose_b ? b[j + l * g.ldb] : b[l + j * g.ldb]);
      c[i + j * g.ldc] = sum;
    }
  }
}

}  // namespace

TEST_CASE("the gemm asked of cuBLAS is the matmul wanted", "[cuda]") {
  struct Extents {
    std::int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Extents{3, 5, 7}, {1, 1, 1}, {1, 6, 2}, {6, 1, 2}, {4, 2, 1}, {8, 8, 8}}) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        CAPTURE(m, n, k, transpose_a, transpose_b);
        const MatmulOptions options{.transpose_a = transpose_a, .transpose_b = transpose_b};
        const Tensor a = draw(transpose_a ? Shape{k, m} : Shape{m, k}, 0);
        const Tensor b = draw(transpose_b ? Shape{n, k} : Shape{k, n}, 1);
        Tensor expected = Tensor::empty({m, n});
        cpu_backend().matmul(a, b, options, expected);
        const cuda::GemmLayout layout = cuda::gemm_layout(a.shape(), b.shape(), options);
        // What cuBLAS demands of leading dimensions: the rows of each matrix as it lies in memory.
        CHECK(layout.lda >= (layout.transpose_a ? layout.k : layout.m));
        CHECK(layout.ldb >= (layout.transpose_b ? layout.n : layout.k));
        CHECK(layout.ldc >= layout.m);
        std::vector<float> c(static_cast<std::size_t>(m * n));
        gemm(layout, b.data<float>(), a.data<float>(), c.data());
        CHECK(c == expected.to_vector<float>());  // sums of small integers: exact in any order
      }
    }
  }
}

}  // namespace lamina::tests
