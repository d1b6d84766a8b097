#include "core/cuda/matmul_plans.h"

#include <cstdint>
#include <map>
#include <mutex>

#include "core/cuda/libraries.h"
#include "core/memory/scratch.h"

namespace lamina::cuda {
namespace {

template <auto function>
struct CublasDestroy {
  template <typename T>
  void operator()(T* handle) const noexcept {
    (cublas().*function)(handle);
  }
};
using CublasHandle = std::unique_ptr<cublasLtContext, CublasDestroy<&Cublas::cublasLtDestroy>>;
using MatmulDescription =
    std::unique_ptr<cublasLtMatmulDescOpaque_t, CublasDestroy<&Cublas::cublasLtMatmulDescDestroy>>;
using MatrixLayout =
    std::unique_ptr<cublasLtMatrixLayoutOpaque_t, CublasDestroy<&Cublas::cublasLtMatrixLayoutDestroy>>;
using MatmulPreference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t,
                                         CublasDestroy<&Cublas::cublasLtMatmulPreferenceDestroy>>;

constexpr std::size_t workspace_limit = std::size_t{32} << 20;  // what NVIDIA advises for the H100

cudaDataType_t type_of(DType dtype) {
  if (dtype == DType::f32) return CUDA_R_32F;
  if (dtype == DType::bf16) return CUDA_R_16BF;
  fail(
      "matmul: dtype {} is not supported on CUDA; expected f32 or bf16 (f64 is for gradient checks on the "
      "CPU)",
      name_of(dtype));
}

MatrixLayout make_layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t leading) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublas().cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                                   static_cast<std::uint64_t>(columns), leading),
               "describing a matrix");
  return MatrixLayout(layout);
}

void set(const MatmulDescription& description, cublasLtMatmulDescAttributes_t attribute, bool transpose) {
  const std::int32_t operation = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
  check_cublas(
      cublas().cublasLtMatmulDescSetAttribute(description.get(), attribute, &operation, sizeof operation),
      "describing a product");
}

MatmulDescription make_description(const MatmulKey& key) {
  cublasLtMatmulDesc_t made = nullptr;
  const bool tf32 = key.tf32 && key.dtype == DType::f32;
  check_cublas(cublas().cublasLtMatmulDescCreate(
                   &made, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "describing a product");
  MatmulDescription description(made);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, key.layout.transpose_a);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, key.layout.transpose_b);
  return description;
}

template <typename T>
void set(const MatmulPreference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check_cublas(
      cublas().cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
      "stating preferences");
}

// Parts of a sum are added up in f32 in a fixed order, in the workspace: neither rounded to bf16 nor added in
// the order in which they happen to be ready.
MatmulPreference make_preference(const MatmulKey& key) {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublas().cublasLtMatmulPreferenceCreate(&made), "stating preferences");
  MatmulPreference preference(made);
  set<std::uint64_t>(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_limit);
  set<std::uint32_t>(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                     CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  for (const auto matrix :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference, matrix, static_cast<std::uint32_t>(key.alignment));
  return preference;
}

struct MatmulPlan {
  MatmulDescription description;
  MatrixLayout a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace_bytes;
};

MatmulPlan make_plan(cublasLtHandle_t handle, const MatmulKey& key) {
  const GemmLayout& g = key.layout;
  const cudaDataType_t type = type_of(key.dtype);
  MatmulPlan plan{.description = make_description(key),
                  .a = make_layout(type, g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.lda),
                  .b = make_layout(type, g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.ldb),
                  .c = make_layout(type, g.m, g.n, g.ldc),
                  .algorithm = {},
                  .workspace_bytes = 0};
  const MatmulPreference preference = make_preference(key);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check_cublas(
      cublas().cublasLtMatmulAlgoGetHeuristic(handle, plan.description.get(), plan.a.get(), plan.b.get(),
                                              plan.c.get(), plan.c.get(), preference.get(), 1, &best, &found),
      "choosing an algorithm");
  check(found > 0, "matmul: cuBLASLt has no algorithm for a product [{}, {}] x [{}, {}] of {}", g.n, g.k, g.k,
        g.m, name_of(key.dtype));
  plan.algorithm = best.algo;
  plan.workspace_bytes = best.workspaceSize;
  return plan;
}

}  // namespace

class MatmulPlans::Plans {
 public:
  void run(const MatmulKey& key, const Matrices& matrices, Allocator& allocator, Stream stream);

 private:
  const MatmulPlan& plan_for(const MatmulKey& key);

  std::mutex mutex_;
  CublasHandle handle_;  // made when first used
  std::map<MatmulKey, MatmulPlan> plans_;
};

const MatmulPlan& MatmulPlans::Plans::plan_for(const MatmulKey& key) {
  const std::lock_guard lock(mutex_);
  if (handle_ == nullptr) {
    cublasLtHandle_t handle = nullptr;
    check_cublas(cublas().cublasLtCreate(&handle), "starting");
    handle_.reset(handle);
  }
  const auto known = plans_.find(key);
  return known != plans_.end() ? known->second
                               : plans_.emplace(key, make_plan(handle_.get(), key)).first->second;
}

void MatmulPlans::Plans::run(const MatmulKey& key, const Matrices& matrices, Allocator& allocator,
                             Stream stream) {
  const MatmulPlan& plan = plan_for(key);
  const Scratch<std::byte> workspace(allocator, static_cast<std::int64_t>(plan.workspace_bytes));
  const float alpha = 1, beta = 0;
  check_cublas(
      cublas().cublasLtMatmul(handle_.get(), plan.description.get(), &alpha, matrices.a, plan.a.get(),
                              matrices.b, plan.b.get(), &beta, matrices.c, plan.c.get(), matrices.c,
                              plan.c.get(), &plan.algorithm, workspace.data(), plan.workspace_bytes, stream),
      "a product");
}

MatmulPlans::MatmulPlans() : plans_(std::make_unique<Plans>()) {}
MatmulPlans::~MatmulPlans() = default;
void MatmulPlans::run(const MatmulKey& key, const Matrices& matrices, Allocator& allocator, Stream stream) {
  plans_->run(key, matrices, allocator, stream);
}

}  // namespace lamina::cuda
