// cuDNN's graph API as far as convolutions need it: descriptors, the graph of one convolution, and plans that
// compute it. NVIDIA, cuDNN Backend API (cudnn_graph.h).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/cuda/conv_plans.h"
#include "core/cuda/libraries.h"

namespace lamina::cuda {

// Something described to cuDNN by attributes, then finalized; read-only from then on. All members throw Error
// when cuDNN refuses.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value);
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values);
  Descriptor& set(cudnnBackendAttributeName_t name, std::int64_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, float value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value);
  Descriptor& finalize(const char* doing);
  bool try_finalize();  // false: cuDNN cannot do what is described

  std::int64_t get(cudnnBackendAttributeName_t name) const;
  // At most `most` values, of the size of T.
  template <typename T>
  std::vector<T> get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     std::int64_t most) const {
    std::vector<T> values(static_cast<std::size_t>(most));
    values.resize(static_cast<std::size_t>(read(name, type, most, values.data())));
    return values;
  }
  // All values, at most `most`, as descriptors of this type.
  std::vector<Descriptor> get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                          std::int64_t most) const;
  std::int64_t count_descriptors(cudnnBackendAttributeName_t name) const;

  cudnnBackendDescriptor_t raw() const { return descriptor_.get(); }

 private:
  std::int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most,
                    void* values) const;
  struct Destroy {
    void operator()(void* descriptor) const noexcept;
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

// The GPU that plans are made for: that of the handle; or one that is described (cuDNN 9.8), in the tests,
// where plans can be made but not run.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

// Keeps everything that the graph refers to.
struct ConvGraph {
  Descriptor x, weight, y, convolution, operation, graph;
};
ConvGraph make_graph(const Target& target, const ConvProblem& problem);

// One way of computing a graph: an engine of cuDNN and its settings.
struct Engine {
  Descriptor configuration;
  std::int64_t number;
  bool deterministic;
  bool rounds_inputs;  // f32 ones, to TF32 or less
  bool rounds_sums;    // to less than f32
  bool compiles;       // at run time, when its plan is made: 0.2 to 4 s
};
// What cuDNN's heuristics propose, the fastest by their estimate first.
std::vector<Engine> propose_engines(const Target& target, const ConvGraph& graph, cudnnBackendHeurMode_t mode,
                                    DType dtype);
// Of all of them those that compute the problem as wanted: sums in f32, inputs rounded only if TF32 is
// allowed. Those that compile at run time come last.
std::vector<Engine> engines_for(const Target& target, const ConvGraph& graph, const ConvProblem& problem);

struct ConvPlan {
  Descriptor plan;
  std::int64_t engine;
  std::size_t workspace_bytes;
};
// Nothing if the engine turns out not to support the graph on this GPU.
std::optional<ConvPlan> make_plan(const Target& target, const Engine& engine);

void execute(cudnnHandle_t handle, const ConvPlan& plan, const ConvPointers& pointers, void* workspace);

}  // namespace lamina::cuda
