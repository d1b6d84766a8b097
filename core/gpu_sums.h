// Sums over ranks (core/parallel/collective.h) of what lies on a GPU, by NCCL, from memory to memory of the
// GPUs.
#pragma once

#include <memory>

#include "core/parallel/collective.h"
#include "core/tensor.h"

namespace lamina {

class GpuSums {
 public:
  GpuSums() = default;
  GpuSums(const GpuSums&) = delete;
  GpuSums& operator=(const GpuSums&) = delete;
  virtual ~GpuSums() = default;

  // values[i] becomes the sum of all ranks' values[i], as by Collective::sum(): in the order of the ranks,
  // the same bits on all of them and in every run, whatever connects the GPUs. f32. Handed to the GPU, and
  // may be captured (core/captured.h) if it was done before, outside a capture: NCCL then connects.
  virtual void sum(const Tensor& values) = 0;
};

// All ranks together, each with a GPU of its own. Throws Error where there is no CUDA or no NCCL, UsageError
// where two ranks have one GPU.
std::unique_ptr<GpuSums> connect_gpus(Collective& ranks, Device device);

}  // namespace lamina
