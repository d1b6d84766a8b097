#include "core/cuda/cudnn_graph.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lamina::cuda {
namespace {

constexpr std::int64_t x_id = 1, weight_id = 2, y_id = 3;  // of tensors in a graph

cudnnDataType_t type_of(DType dtype) {
  if (dtype == DType::f32) return CUDNN_DATA_FLOAT;
  if (dtype == DType::bf16) return CUDNN_DATA_BFLOAT16;
  fail(
      "conv2d: dtype {} is not supported on CUDA; expected f32 or bf16 (f64 is for gradient checks on the "
      "CPU)",
      name_of(dtype));
}

Descriptor make_tensor(const ConvTensor& tensor, std::int64_t id, std::int64_t alignment) {
  Descriptor descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type_of(tensor.dtype))
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, tensor.extents)
      .set(CUDNN_ATTR_TENSOR_STRIDES, nhwc_strides(tensor.extents))
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment)
      .finalize("describing a tensor");
  return descriptor;
}

Descriptor make_convolution(const ConvProblem& problem) {
  const std::array<std::int64_t, 2> padding{problem.padding, problem.padding};
  const std::array<std::int64_t, 2> stride{problem.stride, problem.stride}, dilation{1, 1};
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  Descriptor descriptor(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation)
      .finalize("describing a convolution");
  return descriptor;
}

// The same attributes under three names.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, weight, y, convolution, alpha, beta;
};

OperationNames names_of(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvDirection::grad_input:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvDirection::grad_weight:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

}  // namespace

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  check_cudnn(cudnn().cudnnBackendCreateDescriptor(type, &descriptor), "making a descriptor");
  descriptor_.reset(descriptor);
}

void Descriptor::Destroy::operator()(void* descriptor) const noexcept {
  cudnn().cudnnBackendDestroyDescriptor(descriptor);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            std::int64_t count, const void* values) {
  check_cudnn(cudnn().cudnnBackendSetAttribute(raw(), name, type, count, values), "setting an attribute");
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  const cudnnBackendDescriptor_t descriptor = value.raw();
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values) {
  return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  return set(name, CUDNN_TYPE_INT64, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, float value) {
  return set(name, CUDNN_TYPE_FLOAT, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  return set(name, CUDNN_TYPE_HANDLE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value) {
  return set(name, CUDNN_TYPE_HEUR_MODE, 1, &value);
}

Descriptor& Descriptor::finalize(const char* doing) {
  check_cudnn(cudnn().cudnnBackendFinalize(raw()), doing);
  return *this;
}

bool Descriptor::try_finalize() { return cudnn().cudnnBackendFinalize(raw()) == CUDNN_STATUS_SUCCESS; }

std::int64_t Descriptor::read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              std::int64_t most, void* values) const {
  std::int64_t count = 0;
  check_cudnn(cudnn().cudnnBackendGetAttribute(raw(), name, type, most, &count, values),
              "reading an attribute");
  return most == 0 ? count : std::min(count, most);
}

std::int64_t Descriptor::get(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0;
  read(name, CUDNN_TYPE_INT64, 1, &value);
  return value;
}

// cuDNN fills descriptors that the caller makes.
std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                    cudnnBackendDescriptorType_t type,
                                                    std::int64_t most) const {
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < most; ++i) handles.push_back(found.emplace_back(type).raw());
  if (most == 0) return found;
  found.erase(found.begin() + read(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data()), found.end());
  return found;
}

std::int64_t Descriptor::count_descriptors(cudnnBackendAttributeName_t name) const {
  return read(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
}

ConvGraph make_graph(const Target& target, const ConvProblem& problem) {
  const OperationNames names = names_of(problem.direction);
  ConvGraph made{.x = make_tensor(problem.x, x_id, problem.alignment),
                 .weight = make_tensor(problem.weight, weight_id, problem.alignment),
                 .y = make_tensor(problem.y, y_id, problem.alignment),
                 .convolution = make_convolution(problem),
                 .operation = Descriptor(names.type),
                 .graph = Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)};
  made.operation.set(names.x, made.x)
      .set(names.weight, made.weight)
      .set(names.y, made.y)
      .set(names.convolution, made.convolution)
      .set(names.alpha, 1.0f)  // output = alpha * result + beta * output
      .set(names.beta, problem.adds ? 1.0f : 0.0f)
      .finalize("describing a convolution");
  if (target.handle != nullptr) made.graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  made.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, made.operation).finalize("making the graph of a convolution");
  return made;
}

std::vector<Engine> propose_engines(const Target& target, const ConvGraph& graph, cudnnBackendHeurMode_t mode,
                                    DType dtype) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
#if CUDNN_VERSION >= 90800
  if (target.handle == nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
#endif
  std::vector<Engine> engines;
  if (!heuristics.try_finalize()) return engines;
  for (Descriptor& configuration :
       heuristics.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                  heuristics.count_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS))) {
    const auto engine =
        configuration.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engine.empty()) continue;
    const auto notes = engine[0].get<cudnnBackendNumericalNote_t>(
        CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    const auto noted = [&](cudnnBackendNumericalNote_t note) {
      return std::ranges::find(notes, note) != notes.end();
    };
    const auto behavior = engine[0].get<cudnnBackendBehaviorNote_t>(
        CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
    // On f32, tensor cores mean TF32.
    const bool rounds = dtype == DType::f32 && (noted(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) ||
                                                noted(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
    engines.push_back(
        {.configuration = std::move(configuration),
         .number = engine[0].get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX),
         .deterministic = !noted(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
         .rounds_inputs = rounds,
         .rounds_sums = noted(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION),
         .compiles = std::ranges::find(behavior, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) != behavior.end()});
  }
  return engines;
}

std::vector<Engine> engines_for(const Target& target, const ConvGraph& graph, const ConvProblem& problem) {
  std::vector<Engine> engines;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (Engine& engine : propose_engines(target, graph, mode, problem.x.dtype)) {
      if (engine.rounds_sums || (engine.rounds_inputs && !problem.tf32)) continue;
      engines.push_back(std::move(engine));
    }
  }
  std::ranges::stable_partition(engines, [](const Engine& engine) { return !engine.compiles; });
  return engines;
}

std::optional<ConvPlan> make_plan(const Target& target, const Engine& engine) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine.configuration);
  if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
#if CUDNN_VERSION >= 90800
  if (target.handle == nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
#endif
  if (!plan.try_finalize()) return std::nullopt;
  const std::int64_t workspace = plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  return ConvPlan{std::move(plan), engine.number, static_cast<std::size_t>(workspace)};
}

void execute(cudnnHandle_t handle, const ConvPlan& plan, const ConvPointers& pointers, void* workspace) {
  const std::array<std::int64_t, 3> ids{x_id, weight_id, y_id};
  const std::array<void*, 3> data{pointers.x, pointers.weight, pointers.y};
  Descriptor variant(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  variant.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace)
      .finalize("naming the memory of a convolution");
  check_cudnn(cudnn().cudnnBackendExecute(handle, plan.plan.raw(), variant.raw()), "a convolution");
}

}  // namespace lamina::cuda
