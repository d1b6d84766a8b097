// Which of cuDNN's engines computes a convolution: found by trying them when it is first met, then kept.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "core/cuda/cudnn_graph.h"

namespace lamina::cuda {

struct CudnnDestroy {
  void operator()(cudnnContext* handle) const noexcept { cudnn().cudnnDestroy(handle); }
};
using CudnnHandle = std::unique_ptr<cudnnContext, CudnnDestroy>;

class ConvPlans {
 public:
  // What the engines may use.
  struct Resources {
    Allocator& allocator;
    cudaStream_t stream;
  };

  // Writes the problem's output, nothing of it being empty. A problem met for the first time waits for the
  // GPU: not while a CUDA graph is captured (throws Error then).
  void run(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources);

  std::string report() const;  // a line for each problem met so far

 private:
  struct Trial {
    std::size_t engine;
    ConvPlan plan;
    std::string description;
  };
  struct Choice {
    ConvGraph graph;
    Engine engine;
    Trial trial;
  };
  Target target() const { return {.handle = handle_.get()}; }
  const Choice& choice_for(const ConvProblem& problem, const ConvPointers& pointers,
                           const Resources& resources);
  Choice choose(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources) const;
  Trial try_engines(const ConvProblem& problem, const std::vector<Engine>& engines, int most,
                    const ConvPointers& pointers, const Resources& resources) const;
  std::optional<Trial> make_known(const std::vector<Engine>& engines, int engine) const;
  void execute(const ConvPlan& plan, const ConvPointers& pointers, const Resources& resources) const;
  double milliseconds(const ConvPlan& plan, const ConvPointers& pointers, const Resources& resources,
                      double shortest) const;

  mutable std::mutex mutex_;
  CudnnHandle handle_;  // made when first used
  std::map<ConvProblem, Choice> choices_;
};

}  // namespace lamina::cuda
