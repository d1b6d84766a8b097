// The machine that the emulated runtime pretends to be: what a test may change about it.
#pragma once

#include <cstddef>

namespace lamina::tests {

struct EmulatedMachine {
  int driver = 13000;  // the newest CUDA it supports, here 13.0; 0: there is none
  int gpus = 2;
  int compute_capability = 90;
  std::size_t memory = std::size_t{16} << 30;  // of each GPU, in bytes
  bool broken = false;                         // a kernel has read where it must not
  bool cooperative = true;                     // there are kernels whose blocks wait for one another
  int blocks_at_once = 264;                    // of such a kernel, as the runtime says
  int fitting_blocks = 264;                    // as the GPU finds when it starts one
  int cache_bytes = 50 << 20;
};
EmulatedMachine& emulated_machine();

// The machine, changed until the end of a test.
class Pretence {
 public:
  explicit Pretence(const EmulatedMachine& machine) { emulated_machine() = machine; }
  ~Pretence() { emulated_machine() = {}; }
  Pretence(const Pretence&) = delete;
  Pretence& operator=(const Pretence&) = delete;
};

// How much work was handed to streams and not yet done.
std::size_t emulated_backlog();

// How many kernels, or calls of a library in their place, were handed to streams so far: captured ones once.
std::size_t emulated_launches();

}  // namespace lamina::tests
