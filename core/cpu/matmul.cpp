// Matrix products by Eigen, single-threaded on fixed parts of the problem: the bits do not depend on the
// number of threads.
#include <Eigen/Core>

#include <algorithm>

#include "core/cpu/cpu_backend.h"
#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"

namespace lamina {
namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using View = Eigen::Map<T, 0, Eigen::OuterStride<>>;

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

  View<const Matrix<T>> block(Range rows, Range cols) const {
    if (transposed) std::swap(rows, cols);
    return {data + rows.begin * columns + cols.begin, rows.size(), cols.size(),
            Eigen::OuterStride<>(columns)};
  }
};

template <typename T>
void multiply(const Operand<T>& a, const Operand<T>& b, Range rows, Range cols, Range depth,
              View<Matrix<T>> out) {
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

// How a product is cut: strips of the result along its longer side, and, where these are few, parts of the
// depth, whose products are added in order. A function of the shape only.
struct Plan {
  std::int64_t strip = 0, strips = 0;
  std::int64_t part = 0, parts = 0;

  Plan(std::int64_t extent, std::int64_t depth) {
    // About 64 strips, but none so thin that packing the other operand for each costs more than its product.
    constexpr std::int64_t wanted_strips = 64, thinnest = 96, grain = 48;
    strip = (std::max(thinnest, (extent + wanted_strips - 1) / wanted_strips) + grain - 1) / grain * grain;
    strips = (extent + strip - 1) / strip;
    constexpr std::int64_t wanted_tasks = 16, shallowest = 512;
    const std::int64_t most = std::max<std::int64_t>(1, depth / shallowest);
    parts = std::min(most, (wanted_tasks + strips - 1) / strips);
    part = (depth + parts - 1) / parts;
  }
};

template <typename T>
void multiply(const Operand<T>& a, const Operand<T>& b, std::int64_t rows, std::int64_t cols,
              std::int64_t depth, T* out, Allocator& allocator) {
  const bool by_rows = rows >= cols;
  const Plan plan(std::max(rows, cols), depth);
  const cpu::Scratch<T> partial(allocator, (plan.parts - 1) * rows * cols);
  cpu::parallel_for(plan.parts * plan.strips, 1, [&](std::int64_t task, std::int64_t) {
    const std::int64_t part = task / plan.strips;
    const Range along{part * plan.part, std::min(depth, (part + 1) * plan.part)};
    const std::int64_t first = task % plan.strips * plan.strip;
    const Range strip{first, std::min(std::max(rows, cols), first + plan.strip)};
    const Range strip_rows = by_rows ? strip : Range{0, rows}, strip_cols = by_rows ? Range{0, cols} : strip;
    T* const to = part == 0 ? out : partial.data() + (part - 1) * rows * cols;
    multiply(a, b, strip_rows, strip_cols, along,
             {to + strip_rows.begin * cols + strip_cols.begin, strip_rows.size(), strip_cols.size(),
              Eigen::OuterStride<>(cols)});
  });
  if (plan.parts == 1) return;
  cpu::parallel_for(rows * cols, 8192, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = 1; part < plan.parts; ++part) {
      const T* from = partial.data() + (part - 1) * rows * cols;
      for (std::int64_t i = begin; i < end; ++i) out[i] += from[i];
    }
  });
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  visit_floating(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    const Operand<T> left{a.data<T>(), a.size(1), options.transpose_a};
    const Operand<T> right{b.data<T>(), b.size(1), options.transpose_b};
    multiply(left, right, out.size(0), out.size(1), a.size(options.transpose_a ? 0 : 1), out.data<T>(),
             allocator_);
  });
}

}  // namespace lamina
