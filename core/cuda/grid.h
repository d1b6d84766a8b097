// A kernel in phases: loops whose parts the blocks share out, each begun when the one before is done by all
// of them. It is one launch, of no more blocks than are on the GPU at once (cooperative.h).
//
// As in launch.h nvcc makes a kernel of it, and any other compiler loops over the same blocks and threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/cuda/cooperative.h"
#include "core/cuda/launch.h"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#endif

namespace lamina::cuda {

// All threads of the kernel run each of its loops, in the same order.
class Grid {
 public:
  // f(block) for each of n; all threads of a block of the GPU call it together.
  template <typename F>
  LAMINA_DEVICE void each_block(int n, const F& f) {
    begin_phase();
    each_worker<1>([&](int block, int) { share(block, blocks(), n, f); });
  }

  // f(team, i) for each of n, neighbours in different blocks.
  template <typename F>
  LAMINA_DEVICE void each_team(std::int64_t n, const F& f) {
    constexpr int teams = block_threads / Team::size;
    begin_phase();
    each_worker<teams>([&](int block, int team) {
      const std::int64_t number = std::int64_t{team} * blocks() + block;
      share(number, std::int64_t{teams} * blocks(), n, [&](std::int64_t i) { f(Team{}, i); });
    });
  }

  // f(i) for each of n, neighbours in neighbouring threads.
  template <typename F>
  LAMINA_DEVICE void each_thread(std::int64_t n, const F& f) {
    begin_phase();
    each_worker<block_threads>([&](int block, int thread) {
      const std::int64_t number = std::int64_t{block} * block_threads + thread;
      share(number, std::int64_t{block_threads} * blocks(), n, f);
    });
  }

#ifdef __CUDACC__
 private:
  // What was written before can be read after.
  __device__ void begin_phase() {
    if (!is_first_) cooperative_groups::this_grid().sync();
    is_first_ = false;
  }
  __device__ static int blocks() { return static_cast<int>(gridDim.x); }
  template <int of_block, typename F>
  __device__ static void each_worker(const F& f) {  // `of_block` to each block
    f(static_cast<int>(blockIdx.x), static_cast<int>(threadIdx.x) / (block_threads / of_block));
  }

  bool is_first_ = true;
#else
  explicit Grid(int blocks) : blocks_(blocks) {}

 private:
  void begin_phase() const {}  // a loop has ended when the next begins
  int blocks() const { return blocks_; }
  template <int of_block, typename F>
  void each_worker(const F& f) const {
    for (int block = 0; block < blocks_; ++block)
      for (int worker = 0; worker < of_block; ++worker) f(block, worker);
  }

  int blocks_;
#endif

  template <typename Index, typename F>
  LAMINA_DEVICE static void share(Index first, Index workers, Index n, const F& f) {
    for (Index i = first; i < n; i += workers) f(i);
  }
};

#ifdef __CUDACC__

namespace kernel {

template <typename Body>
__global__ void __launch_bounds__(block_threads, 2) cooperate(Body body) {
  Grid grid;
  body(grid);
}

}  // namespace kernel

// One launch of body(grid), of at most `blocks` blocks. False if the GPU does not hold what the runtime said
// it would, as when a tool that watches the kernel takes registers of its own: nothing was started then.
template <typename Body>
bool cooperate(Stream stream, std::int64_t blocks, const Body& body) {
  int at_once = 0;
  check_cuda(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&at_once, kernel::cooperate<Body>, block_threads, 0),
      "asking how many blocks fit on the GPU");
  const std::int64_t size = std::min<std::int64_t>(blocks, at_once * multiprocessors_in_use());
  if (size == 0) return false;
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t launch{};
  launch.gridDim = dim3(static_cast<unsigned>(size));
  launch.blockDim = dim3(block_threads);
  launch.stream = stream;
  launch.attrs = &cooperative;
  launch.numAttrs = 1;
  const cudaError_t status = cudaLaunchKernelEx(&launch, kernel::cooperate<Body>, body);
  if (status == cudaErrorCooperativeLaunchTooLarge) {
    cudaGetLastError();  // or the next launch would report it
    return false;
  }
  check_cuda(status, "starting a kernel");
  return true;
}

#else

// How many blocks CUDA's runtime says to fit on the GPU; and hand_out() of a kernel of so many, false if they
// do not (tests/emulated_cuda/runtime.cpp).
int blocks_at_once();
bool hand_out_cooperative(Stream stream, int blocks, std::function<void()> work);

template <typename Body>
bool cooperate(Stream stream, std::int64_t blocks, const Body& body) {
  const auto size = static_cast<int>(std::min<std::int64_t>(blocks, blocks_at_once()));
  return hand_out_cooperative(stream, size, [=] {
    Grid grid(size);
    body(grid);
  });
}

#endif

}  // namespace lamina::cuda
