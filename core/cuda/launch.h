// How kernels are started: five shapes of loops over device memory. A kernel's body is a lambda marked
// LAMINA_DEVICE, which holds all of its arithmetic and indexing.
//
// nvcc turns the loops into launches on a stream. Any other compiler turns them into loops on the host: so
// the kernels are tested, also under the sanitizers, on machines without a GPU (tests/emulated_cuda).
// sum_parts runs over the same blocks and threads there, and adds in the same order; a Team is one thread,
// and adds a row from its first element to its last.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/rounding.h"
#include "core/memory/scratch.h"

#ifdef __CUDACC__
#include "core/cuda/check.h"
#define LAMINA_DEVICE __device__
#else
#include <functional>
#define LAMINA_DEVICE
#endif

struct CUstream_st;

namespace lamina::cuda {

using Stream = CUstream_st*;  // cudaStream_t

inline constexpr int block_threads = 256;

// Threads that share a row: each takes the elements lane, lane + size, lane + 2 size, … and what they find is
// combined in a fixed order.
struct Team {
#ifdef __CUDACC__
  static constexpr int size = 32;
  int lane = static_cast<int>(threadIdx.x) % size;

  template <typename T>
  __device__ T sum(T x) const {  // the same in all lanes
    for (int distance = size / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
    return x;
  }
  template <typename T>
  __device__ T largest(T x) const {  // a NaN may be lost
    for (int distance = size / 2; distance > 0; distance /= 2) {
      const T other = __shfl_xor_sync(~0u, x, distance);
      x = other > x ? other : x;
    }
    return x;
  }
#else
  static constexpr int size = 1;
  int lane = 0;

  template <typename T>
  T sum(T x) const {
    return x;
  }
  template <typename T>
  T largest(T x) const {
    return x;
  }
#endif
};

// K sums. Threads add up in the type of the terms, blocks and what follows in double.
template <int K, typename Real = double>
struct Sums {
  Real value[K] = {};

  template <typename Other>
  LAMINA_HD Sums& operator+=(const Sums<K, Other>& more) {
    for (int k = 0; k < K; ++k) value[k] += static_cast<Real>(more.value[k]);
    return *this;
  }
};

// How a sum over the middle axis of [outer, middle, inner] is shared out. A block takes one index of the
// outer axis, `columns` neighbours of the inner one and `part_rows` of the middle one; `lanes` threads share
// a column.
struct SumPlan {
  static constexpr std::int64_t rows_per_thread = 32;

  std::int64_t outer, middle, inner;
  int columns = 1, lanes = block_threads;
  std::int64_t part_rows = 0, parts = 0, column_blocks = 0;

  SumPlan(std::int64_t outer_extent, std::int64_t middle_extent, std::int64_t inner_extent,
          std::int64_t most_rows_per_thread = rows_per_thread)
      : outer(outer_extent), middle(middle_extent), inner(inner_extent) {
    while (columns < 32 && columns < inner) columns *= 2;
    lanes = block_threads / columns;
    part_rows = lanes * most_rows_per_thread;
    parts = std::max<std::int64_t>(1, ceil_div(middle, part_rows));
    column_blocks = ceil_div(inner, columns);
  }

  std::int64_t blocks() const { return outer * parts * column_blocks; }
  std::int64_t outputs() const { return outer * inner; }

  LAMINA_HD std::int64_t part(std::int64_t block) const { return block / column_blocks % parts; }
  LAMINA_HD std::int64_t outer_index(std::int64_t block) const { return block / column_blocks / parts; }
  LAMINA_HD std::int64_t column(std::int64_t block, int thread) const {
    return block % column_blocks * columns + thread % columns;
  }
  LAMINA_HD std::int64_t output(std::int64_t block, int thread) const {
    return outer_index(block) * inner + column(block, thread);
  }

  // What one thread adds up: value(a, b)(s) over its share of s.
  template <typename Value>
  LAMINA_HD auto share(std::int64_t block, int thread, const Value& value) const {
    decltype(value(0, 0)(0)) sums;
    const std::int64_t a = outer_index(block), b = column(block, thread), first = part(block) * part_rows;
    if (b >= inner) return sums;
    const std::int64_t own = first + thread / columns;
    const std::int64_t end = first + part_rows < middle ? first + part_rows : middle;
    const auto terms = static_cast<int>((end - own + lanes - 1) / lanes);  // known before: loads may go ahead
    const auto term = value(a, b);
#ifdef __CUDA_ARCH__
#pragma unroll 4  // as many loads are under way at once
#endif
    for (int k = 0; k < terms; ++k) sums += term(own + static_cast<std::int64_t>(k) * lanes);
    return sums;
  }
};

#ifdef __CUDACC__

namespace kernel {

inline constexpr int unroll = 4;  // elements of a thread

template <typename Body>
__global__ void for_each(std::int64_t n, Body body) {
  std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block_threads * unroll + threadIdx.x;
#pragma unroll
  for (int k = 0; k < unroll; ++k, i += block_threads)
    if (i < n) body(i);
}

inline constexpr int rows_in_turn = 4;  // of a thread, in for_each_column

template <typename Prepare>
__global__ void for_each_column(std::int64_t rows, std::int64_t columns, Prepare prepare) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  const std::int64_t groups = ceil_div(rows, rows_in_turn), column = thread % columns;
  std::int64_t row = thread / columns;
  if (row >= groups) return;
  const auto body = prepare(column);
#pragma unroll
  for (int k = 0; k < rows_in_turn; ++k, row += groups)
    if (row < rows) body(row * columns + column);
}

template <typename Body>
__global__ void for_each_row(std::int64_t rows, Body body) {
  const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x) / Team::size;
  if (row < rows) body(Team{}, row);
}

template <int K, typename Value, typename Finish>
__global__ void sum_parts(SumPlan plan, Value value, Finish finish) {
  __shared__ double shared[K][block_threads];  // a warp's threads side by side: in different banks
  const int thread = static_cast<int>(threadIdx.x);
  Sums<K> sums;
  sums += plan.share(blockIdx.x, thread, value);
  for (int k = 0; k < K; ++k) shared[k][thread] = sums.value[k];
  for (int threads = block_threads / 2; threads >= plan.columns; threads /= 2) {
    __syncthreads();
    if (thread >= threads) continue;
    for (int k = 0; k < K; ++k) sums.value[k] += shared[k][thread + threads];
    for (int k = 0; k < K; ++k) shared[k][thread] = sums.value[k];
  }
  if (thread < plan.columns && plan.column(blockIdx.x, thread) < plan.inner)
    finish(plan.output(blockIdx.x, thread), plan.part(blockIdx.x), sums);
}

}  // namespace kernel

// body(i) for every i in [0, n), in any order.
template <typename Body>
void for_each(Stream stream, std::int64_t n, const Body& body) {
  if (n == 0) return;
  const std::int64_t blocks = ceil_div(n, block_threads * kernel::unroll);
  kernel::for_each<<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(n, body);
  check_launch();
}

// prepare(column)(row * columns + column) for every row and column, in any order; prepare() loads what the
// elements of a column have in common.
template <typename Prepare>
void for_each_column(Stream stream, std::int64_t rows, std::int64_t columns, const Prepare& prepare) {
  if (rows * columns == 0) return;
  const std::int64_t blocks = ceil_div(ceil_div(rows, kernel::rows_in_turn) * columns, block_threads);
  kernel::for_each_column<<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(rows, columns,
                                                                                       prepare);
  check_launch();
}

// body(team, row) for every row in [0, rows), in any order; all lanes of a team make each call of its
// functions together.
template <typename Body>
void for_each_row(Stream stream, std::int64_t rows, const Body& body) {
  if (rows == 0) return;
  const std::int64_t blocks = ceil_div(rows, block_threads / Team::size);
  kernel::for_each_row<<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(rows, body);
  check_launch();
}

// finish(output, part, sums) for every output a * inner + b and part of the middle axis.
template <int K, typename Value, typename Finish>
void sum_parts(Stream stream, const SumPlan& plan, const Value& value, const Finish& finish) {
  if (plan.blocks() == 0) return;
  kernel::sum_parts<K>
      <<<static_cast<unsigned>(plan.blocks()), block_threads, 0, stream>>>(plan, value, finish);
  check_launch();
}

#else

// Runs what is handed to the stream, or keeps it while work is captured.
void hand_out(Stream stream, std::function<void()> work);  // tests/emulated_cuda/runtime.cpp

template <typename Body>
void for_each(Stream stream, std::int64_t n, const Body& body) {
  hand_out(stream, [=] {
    for (std::int64_t i = 0; i < n; ++i) body(i);
  });
}

template <typename Prepare>
void for_each_column(Stream stream, std::int64_t rows, std::int64_t columns, const Prepare& prepare) {
  hand_out(stream, [=] {
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto body = prepare(column);
      for (std::int64_t row = 0; row < rows; ++row) body(row * columns + column);
    }
  });
}

template <typename Body>
void for_each_row(Stream stream, std::int64_t rows, const Body& body) {
  hand_out(stream, [=] {
    for (std::int64_t row = 0; row < rows; ++row) body(Team{}, row);
  });
}

template <int K, typename Value, typename Finish>
void sum_parts(Stream stream, const SumPlan& plan, const Value& value, const Finish& finish) {
  hand_out(stream, [=] {
    for (std::int64_t block = 0; block < plan.blocks(); ++block) {
      Sums<K> shared[block_threads];
      for (int thread = 0; thread < block_threads; ++thread)
        shared[thread] += plan.share(block, thread, value);
      for (int threads = block_threads / 2; threads >= plan.columns; threads /= 2)
        for (int thread = 0; thread < threads; ++thread) shared[thread] += shared[thread + threads];
      for (int thread = 0; thread < plan.columns && plan.column(block, thread) < plan.inner; ++thread)
        finish(plan.output(block, thread), plan.part(block), shared[thread]);
    }
  });
}

#endif

// K sums over the middle axis of [outer, middle, inner]: value(a, b)(s) gives the terms, as Sums<K, float> or
// <K, double>, where value(a, b) loads what they have in common; and finish(a * inner + b, sums) is called
// once for each output. The order of additions depends on the extents alone.
template <int K, typename Value, typename Finish>
void sum_middle(Stream stream, Allocator& allocator, const SumPlan& plan, const Value& value,
                const Finish& finish) {
  if (plan.parts == 1) {
    sum_parts<K>(
        stream, plan, value,
        [=] LAMINA_DEVICE(std::int64_t output, std::int64_t, const Sums<K>& sums) { finish(output, sums); });
    return;
  }
  const std::int64_t parts = plan.parts;
  const Scratch<Sums<K>> scratch(allocator, plan.outputs() * parts);
  Sums<K>* partial = scratch.data();  // [outputs, parts]
  sum_parts<K>(stream, plan, value,
               [=] LAMINA_DEVICE(std::int64_t output, std::int64_t part, const Sums<K>& sums) {
                 partial[output * parts + part] = sums;
               });
  for_each_row(stream, plan.outputs(), [=] LAMINA_DEVICE(const Team& team, std::int64_t output) {
    Sums<K> sums;
    for (std::int64_t part = team.lane; part < parts; part += Team::size)
      sums += partial[output * parts + part];
    for (int k = 0; k < K; ++k) sums.value[k] = team.sum(sums.value[k]);
    if (team.lane == 0) finish(output, sums);
  });
}

}  // namespace lamina::cuda
