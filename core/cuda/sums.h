// Sums over the middle axis of [outer, middle, inner], in an order that depends on the extents alone.
#pragma once

#include <type_traits>
#include <utility>

#include "core/cuda/launch.h"
#include "core/memory/scratch.h"
#include "core/walk.h"

namespace lamina::cuda {

inline constexpr int elements_in_turn = 16;  // where a term is one element: fewer leave memory idle

// K sums.
template <int K, typename Real = double>
struct Sums {
  Real value[K] = {};

  template <typename Other>
  LAMINA_HD Sums& operator+=(const Sums<K, Other>& more) {
    for (int k = 0; k < K; ++k) value[k] += static_cast<Real>(more.value[k]);
    return *this;
  }
};

// How a sum is shared out. A block takes one index of the outer axis, `columns` neighbours of the inner one
// and `part_rows` of the middle one; `lanes` threads share a column. There are two blocks for each
// multiprocessor, so that a second kernel has few parts to add up; what is short is one part.
struct SumPlan {
  static constexpr std::int64_t most_blocks = 2 * multiprocessors;
  static constexpr int most_column_bits = 5;
  static constexpr int rows_alone = 16;    // of a thread: fewer are not worth a second kernel
  static constexpr int least_rows = 4;     // of a thread, where there are more
  static constexpr int rows_per_sum = 32;  // that a thread adds up in the type of the terms, else in double

  std::int64_t outer, middle, inner;
  int column_bits = 0, lane_bits = 0;  // logarithms
  std::int64_t part_rows;
  Divisor parts, column_blocks;

  // A thread loads `rows_in_turn` at once.
  SumPlan(const AxisSum& axis, int rows_in_turn) : outer(axis.outer), middle(axis.middle), inner(axis.inner) {
    while (column_bits < most_column_bits && columns() < inner) ++column_bits;
    while (columns() * lanes() < block_threads) ++lane_bits;
    column_blocks = ceil_div(inner, columns());
    const std::int64_t others = std::max<std::int64_t>(outer * column_blocks, 1);
    const bool alone = ceil_div(middle, lanes()) <= rows_alone;
    const std::int64_t wanted = alone ? 1 : std::max<std::int64_t>(most_blocks / others, 1);
    part_rows = std::max<std::int64_t>(
        round_up(ceil_div(middle, wanted), lanes() * std::max(rows_in_turn, least_rows)), 1);
    parts = std::max<std::int64_t>(ceil_div(middle, part_rows), 1);
  }

  LAMINA_HD int columns() const { return 1 << column_bits; }
  LAMINA_HD int lanes() const { return 1 << lane_bits; }
  LAMINA_HD std::int64_t blocks() const { return outer * parts * column_blocks; }

  LAMINA_HD std::int64_t part(std::int64_t block) const { return block / column_blocks % parts; }
  LAMINA_HD std::int64_t outer_index(std::int64_t block) const { return block / column_blocks / parts; }
  LAMINA_HD std::int64_t column(std::int64_t block, int number) const {
    return (block % column_blocks << column_bits) + number;
  }
};

// What the threads of a block do.
namespace thread {

template <typename Sum, typename Read, int... k>
LAMINA_DEVICE inline void add_in_turn(Sum& sums, const Read& read, std::int64_t s, std::int64_t stride,
                                      std::integer_sequence<int, k...>) {
  const decltype(read(s)) term[] = {read(s + k * stride)...};  // all loaded first, as in in_turn()
  ((sums += term[k]()), ...);
}

// Hands its share of value(a, b)(s)() to add(), as often as it has some.
template <int rows_in_turn, typename Value, typename Add>
LAMINA_DEVICE inline void share(const SumPlan& plan, std::int64_t block, int thread, const Value& value,
                                const Add& add) {
  const std::int64_t b = plan.column(block, thread & (plan.columns() - 1));
  if (b >= plan.inner) return;
  const std::int64_t part = plan.part(block), lanes = plan.lanes();
  const std::int64_t first = part * plan.part_rows + (thread >> plan.column_bits);
  const std::int64_t end = part + 1 == plan.parts ? plan.middle : (part + 1) * plan.part_rows;
  const auto count = static_cast<int>((end - first + lanes - 1) >> plan.lane_bits);  // below 1: none
  const auto read = value(plan.outer_index(block), b);
  for (int k = 0; k < count;) {
    std::remove_cvref_t<decltype(read(first)())> sums;
    const int stop = k + SumPlan::rows_per_sum < count ? k + SumPlan::rows_per_sum : count;
    for (; k + rows_in_turn <= stop; k += rows_in_turn)
      add_in_turn(sums, read, first + k * lanes, lanes, std::make_integer_sequence<int, rows_in_turn>{});
    for (; k < stop; ++k) sums += read(first + k * lanes)();
    add(sums);
  }
}

// The sums of a block's threads; those of a warp lie side by side, in different banks.
template <int sums>
using Shared = double[sums][block_threads];

// Adds the upper half of the threads' sums to the lower one's.
template <int sums>
LAMINA_DEVICE inline void halve(Shared<sums>& shared, int thread, int threads) {
  if (thread < threads)
    for (int k = 0; k < sums; ++k) shared[k][thread] += shared[k][thread + threads];
}

// A thread for each output takes its sums out of the block's. Those of one part are finished; else they go to
// `partial` [outputs, K, parts].
template <int K, int width, typename Finish>
LAMINA_DEVICE inline void hand_over(const SumPlan& plan, std::int64_t block, int thread,
                                    const Shared<K * width>& shared, double* partial, const Finish& finish) {
  const int column = thread / width, place = thread % width;
  const std::int64_t b = plan.column(block, column);
  if (column >= plan.columns() || b >= plan.inner) return;
  Sums<K> sums;
  for (int k = 0; k < K; ++k) sums.value[k] = shared[k * width + place][column];
  const std::int64_t output = (plan.outer_index(block) * plan.inner + b) * width + place;
  if (plan.parts == 1) return finish(output, sums);
  for (int k = 0; k < K; ++k) partial[(output * K + k) * plan.parts + plan.part(block)] = sums.value[k];
}

// What a team does with the sums of all parts of an output, [K, parts].
template <int K>
LAMINA_DEVICE inline Sums<K> add_parts(const Team& team, const double* partial, std::int64_t parts) {
  constexpr int turns = ceil_div(static_cast<int>(SumPlan::most_blocks), Team::size);
  const auto left = static_cast<int>(parts) - team.lane;
  Sums<K> sums;
#ifdef __CUDA_ARCH__
#pragma unroll  // so that all loads are under way together
#endif
  for (int turn = 0; turn < turns; ++turn)
    for (int k = 0; k < K; ++k)
      sums.value[k] += turn * Team::size < left ? partial[k * parts + team.lane + turn * Team::size] : 0;
  for (int k = 0; k < K; ++k) sums.value[k] = team.sum(sums.value[k]);
  return sums;
}

template <int K, typename Finish>
LAMINA_DEVICE inline void finish_output(const Team& team, std::int64_t output, const double* partial,
                                        std::int64_t parts, const Finish& finish) {
  const Sums<K> sums = add_parts<K>(team, partial + output * K * parts, parts);
  if (team.lane == 0) finish(output, sums);
}

}  // namespace thread

// What the threads of a block do together.
namespace block {

#ifdef __CUDACC__

template <int K, int width, int rows_in_turn, typename Value, typename Finish>
__device__ inline void sum_part(const SumPlan& plan, std::int64_t block, const Value& value, double* partial,
                                const Finish& finish) {
  __shared__ thread::Shared<K * width> shared;
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();  // or another thread may still read those of the part before
  for (int k = 0; k < K * width; ++k) shared[k][thread] = 0;
  thread::share<rows_in_turn>(plan, block, thread, value, [&](const auto& sums) {
    for (int k = 0; k < K * width; ++k) shared[k][thread] += static_cast<double>(sums.value[k]);
  });
  for (int threads = block_threads / 2; threads >= plan.columns(); threads /= 2) {
    __syncthreads();
    thread::halve<K * width>(shared, thread, threads);
  }
  __syncthreads();
  thread::hand_over<K, width>(plan, block, thread, shared, partial, finish);
}

#else

template <int K, int width, int rows_in_turn, typename Value, typename Finish>
void sum_part(const SumPlan& plan, std::int64_t block, const Value& value, double* partial,
              const Finish& finish) {
  thread::Shared<K * width> shared{};
  for (int thread = 0; thread < block_threads; ++thread)
    thread::share<rows_in_turn>(plan, block, thread, value, [&](const auto& sums) {
      for (int k = 0; k < K * width; ++k) shared[k][thread] += static_cast<double>(sums.value[k]);
    });
  for (int threads = block_threads / 2; threads >= plan.columns(); threads /= 2)
    for (int thread = 0; thread < threads; ++thread) thread::halve<K * width>(shared, thread, threads);
  for (int thread = 0; thread < block_threads; ++thread)
    thread::hand_over<K, width>(plan, block, thread, shared, partial, finish);
}

#endif

}  // namespace block

#ifdef __CUDACC__

namespace kernel {

// Registers for two blocks on a multiprocessor: a plan has no more, but where there are many outputs.
template <int K, int width, int rows_in_turn, typename Value, typename Finish>
__global__ void __launch_bounds__(block_threads, 2)
    sum_parts(SumPlan plan, Value value, double* partial, Finish finish) {
  block::sum_part<K, width, rows_in_turn>(plan, blockIdx.x, value, partial, finish);
}

}  // namespace kernel

template <int K, int width, int rows_in_turn, typename Value, typename Finish>
void sum_parts(Stream stream, const SumPlan& plan, const Value& value, double* partial,
               const Finish& finish) {
  kernel::sum_parts<K, width, rows_in_turn>
      <<<static_cast<unsigned>(plan.blocks()), block_threads, 0, stream>>>(plan, value, partial, finish);
  check_launch();
}

#else

template <int K, int width, int rows_in_turn, typename Value, typename Finish>
void sum_parts(Stream stream, const SumPlan& plan, const Value& value, double* partial,
               const Finish& finish) {
  hand_out(stream, [=] {
    for (std::int64_t block = 0; block < plan.blocks(); ++block)
      block::sum_part<K, width, rows_in_turn>(plan, block, value, partial, finish);
  });
}

#endif

// Adds up partial [outputs, K, parts].
template <int K, typename Finish>
void finish_parts(Stream stream, const double* partial, std::int64_t outputs, std::int64_t parts,
                  const Finish& finish) {
  for_each_row(stream, outputs, [=] LAMINA_DEVICE(const Team& team, std::int64_t output) {
    thread::finish_output<K>(team, output, partial, parts, finish);
  });
}

// Sums over the middle axis, K for each output. value(a, b)(s) loads one term, where value(a, b) loads what
// the terms have in common; the function that it returns gives it as Sums<K * width, float> or <…, double>:
// the K sums of `width` neighbouring outputs, [K, width]. finish((a * inner + b) * width + place, sums) is
// called once for each output. A thread loads `rows_in_turn` terms at once.
template <int K, int width, int rows_in_turn, typename Value, typename Finish>
void sum_middle(Stream stream, Allocator& allocator, const AxisSum& axis, const Value& value,
                const Finish& finish) {
  static_assert((width << SumPlan::most_column_bits) <= block_threads, "hand_over() has a thread for each");
  const SumPlan plan(axis, rows_in_turn);
  if (plan.blocks() == 0) return;
  const std::int64_t parts = plan.parts, outputs = axis.outer * axis.inner * width;
  if (parts == 1) return sum_parts<K, width, rows_in_turn>(stream, plan, value, nullptr, finish);
  const Scratch<double> scratch(allocator, outputs * K * parts);
  sum_parts<K, width, rows_in_turn>(stream, plan, value, scratch.data(), finish);
  finish_parts<K>(stream, scratch.data(), outputs, parts, finish);
}

}  // namespace lamina::cuda
