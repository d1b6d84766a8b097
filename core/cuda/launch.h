// How kernels are started: shapes of loops over device memory; that of sums is in sums.h. A kernel's body is
// a lambda marked LAMINA_DEVICE, which holds all of its arithmetic and indexing.
//
// nvcc turns the loops into launches on a stream. Any other compiler turns them into loops on the host, over
// the same threads: so the kernels are tested, also under the sanitizers, on machines without a GPU
// (tests/emulated_cuda). A Team is one thread there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/base/host_device.h"
#include "core/base/rounding.h"
#include "core/math/argmax.h"
#include "core/math/divisor.h"

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
using math::Divisor;

inline constexpr int block_threads = 256;
inline constexpr int multiprocessors = 132;  // of an H100 or H200: what the largest grids are made for

// Threads that share a row: each takes the elements lane, lane + size, lane + 2 size, … and what they find is
// combined in a fixed order.
struct Team {
#ifdef __CUDACC__
  static constexpr int size = 32;
  int lane = static_cast<int>(threadIdx.x) % size;

  template <typename T>
  __device__ T from_other(T x, int distance) const {  // what the lane at this distance has
    return __shfl_xor_sync(~0u, x, distance);
  }
#else
  static constexpr int size = 1;
  int lane = 0;

  template <typename T>
  T from_other(T x, int) const {
    return x;
  }
#endif

  template <typename T>
  LAMINA_DEVICE T sum(T x) const {  // the same in all lanes
    for (int distance = size / 2; distance > 0; distance /= 2) x += from_other(x, distance);
    return x;
  }
  template <typename T>
  LAMINA_DEVICE T largest(T x) const {  // a NaN may be lost
    for (int distance = size / 2; distance > 0; distance /= 2) {
      const T other = from_other(x, distance);
      x = other > x ? other : x;
    }
    return x;
  }
  template <typename T>
  LAMINA_DEVICE math::First<T> first(math::First<T> found) const {  // of all lanes, the same in all
    for (int distance = size / 2; distance > 0; distance /= 2)
      found.offer(from_other(found.value, distance), from_other(found.at, distance));
    return found;
  }
};

// Calls body(i) for i = first, first + stride, first + 2 stride, … as far as `last`. A body may return a
// function that does the writing: it is called when all have read. Else a GPU, for which any two addresses
// may be the same, would wait for what one element reads before it asks for the next one's. Past the end the
// last element is read again, and nothing written.
template <typename Body, int... k>
LAMINA_DEVICE inline void in_turn(const Body& body, std::int64_t first, std::int64_t stride,
                                  std::int64_t last, std::integer_sequence<int, k...>) {
  if constexpr (std::is_void_v<decltype(body(first))>) {
    ((first + k * stride <= last ? body(first + k * stride) : void()), ...);
  } else {
    const auto place = [&](int number) {
      const std::int64_t i = first + number * stride;
      return i < last ? i : last;
    };
    const decltype(body(first)) write[] = {body(place(k))...};
    ((first + k * stride <= last ? write[k]() : void()), ...);
  }
}

// What one thread of for_each and of for_each_column does: some calls of the body, `turn` of them at once.
namespace thread {

inline constexpr int calls = 4;

template <int turn, typename Body>
LAMINA_DEVICE inline void in_turns(const Body& body, std::int64_t first, std::int64_t stride,
                                   std::int64_t last) {
  for (int k = 0; k < calls; k += turn)
    in_turn(body, first + k * stride, stride, last, std::make_integer_sequence<int, turn>{});
}

template <int turn, typename Body>
LAMINA_DEVICE inline void for_each(std::int64_t block, int thread, std::int64_t n, const Body& body) {
  const std::int64_t first = block * block_threads * calls + thread;
  if (first < n) in_turns<turn>(body, first, block_threads, n - 1);
}

template <int turn, typename Prepare>
LAMINA_DEVICE inline void for_each_column(std::int64_t number, std::int64_t rows, const Divisor& columns,
                                          const Prepare& prepare) {
  const std::int64_t groups = ceil_div(rows, calls);
  const std::int64_t group = number / columns, column = number % columns;
  if (group < groups)
    in_turns<turn>(prepare(column), number, groups * columns, (rows - 1) * columns + column);
}

}  // namespace thread

#ifdef __CUDACC__

namespace kernel {

template <int turn, typename Body>
__global__ void __launch_bounds__(block_threads, 4) for_each(std::int64_t n, Body body) {
  thread::for_each<turn>(blockIdx.x, static_cast<int>(threadIdx.x), n, body);
}

template <int turn, typename Prepare>
__global__ void __launch_bounds__(block_threads, 3)
    for_each_column(std::int64_t rows, Divisor columns, Prepare prepare) {
  const std::int64_t number = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  thread::for_each_column<turn>(number, rows, columns, prepare);
}

template <typename Body>
__global__ void __launch_bounds__(block_threads) for_each_row(std::int64_t rows, Body body) {
  const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / Team::size;
  if (row < rows) body(Team{}, row);
}

}  // namespace kernel

// body(i) for every i in [0, n), in any order, as in_turn() has it: `turn`, a divisor of 4, of a thread at
// once.
template <int turn = thread::calls, typename Body>
void for_each(Stream stream, std::int64_t n, const Body& body) {
  if (n == 0) return;
  const std::int64_t blocks = ceil_div(n, block_threads * thread::calls);
  kernel::for_each<turn><<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(n, body);
  check_launch();
}

// prepare(column)(row * columns + column) for every row and column, in any order, as in_turn() has it;
// prepare() loads what the elements of a column have in common.
template <int turn = thread::calls, typename Prepare>
void for_each_column(Stream stream, std::int64_t rows, std::int64_t columns, const Prepare& prepare) {
  if (rows * columns == 0) return;
  const std::int64_t blocks = ceil_div(ceil_div(rows, thread::calls) * columns, block_threads);
  kernel::for_each_column<turn>
      <<<static_cast<unsigned>(blocks), block_threads, 0, stream>>>(rows, columns, prepare);
  check_launch();
}

// body(team, row) for every row in [0, rows), in any order; all lanes of a team make each call of its
// functions together.
template <typename Body>
void for_each_row(Stream stream, std::int64_t rows, const Body& body) {
  if (rows == 0) return;
  const std::int64_t teams = std::clamp<std::int64_t>(rows / multiprocessors, 1, block_threads / Team::size);
  kernel::for_each_row<<<static_cast<unsigned>(ceil_div(rows, teams)),
                         static_cast<unsigned>(teams * Team::size), 0, stream>>>(rows, body);
  check_launch();
}

#else

// Runs what is handed to the stream, or keeps it while work is captured.
void hand_out(Stream stream, std::function<void()> work);  // tests/emulated_cuda/runtime.cpp

template <int turn = thread::calls, typename Body>
void for_each(Stream stream, std::int64_t n, const Body& body) {
  hand_out(stream, [=] {
    for (std::int64_t block = 0; block * block_threads * thread::calls < n; ++block)
      for (int i = 0; i < block_threads; ++i) thread::for_each<turn>(block, i, n, body);
  });
}

template <int turn = thread::calls, typename Prepare>
void for_each_column(Stream stream, std::int64_t rows, std::int64_t columns, const Prepare& prepare) {
  hand_out(stream, [=] {
    const std::int64_t threads = ceil_div(rows, thread::calls) * columns;
    for (std::int64_t i = 0; i < threads; ++i) thread::for_each_column<turn>(i, rows, columns, prepare);
  });
}

template <typename Body>
void for_each_row(Stream stream, std::int64_t rows, const Body& body) {
  hand_out(stream, [=] {
    for (std::int64_t row = 0; row < rows; ++row) body(Team{}, row);
  });
}

#endif

}  // namespace lamina::cuda
