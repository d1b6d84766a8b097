// Products of matrices by cuBLASLt: how each kind of product is computed is asked of its heuristics once.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "core/cuda/gemm_layout.h"
#include "core/cuda/libraries.h"

namespace lamina::cuda {

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

struct MatmulKey {
  GemmLayout layout;
  DType dtype;  // of all three matrices: f32 or bf16
  bool tf32;
  std::size_t alignment;  // of all three matrices, in bytes

  auto operator<=>(const MatmulKey&) const = default;
};

struct MatmulPlan {
  MatmulDescription description;
  MatrixLayout a, b, c;
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace_bytes;
};

class MatmulPlans {
 public:
  struct Matrices {  // in BLAS' order
    const void *a, *b;
    void* c;
  };
  // C = op(A) op(B), nothing in it empty; sums are f32.
  void run(const MatmulKey& key, const Matrices& matrices, Allocator& allocator, cudaStream_t stream);

 private:
  const MatmulPlan& plan_for(const MatmulKey& key);

  std::mutex mutex_;
  CublasHandle handle_;  // made when first used
  std::map<MatmulKey, MatmulPlan> plans_;
};

}  // namespace lamina::cuda
