// Which of cuDNN's engines computes a convolution: found by trying them when it is first met, then kept.
#pragma once

#include <memory>
#include <string>

#include "core/cuda/conv_problem.h"
#include "core/cuda/launch.h"
#include "core/memory/allocator.h"

namespace lamina::cuda {

struct ConvPointers {
  void *x, *weight, *y;
};

class ConvPlans {
 public:
  ConvPlans();
  ~ConvPlans();

  // What the engines may use.
  struct Resources {
    Allocator& allocator;
    Stream stream;
  };

  // Writes the problem's output, nothing of it being empty. A problem met for the first time waits for the
  // GPU: not while a CUDA graph is captured (throws Error then).
  void run(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources);

  std::string report() const;  // a line for each problem met so far

 private:
  class Choices;  // cuDNN's side of it
  std::unique_ptr<Choices> choices_;
};

}  // namespace lamina::cuda
