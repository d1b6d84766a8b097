// Products of matrices by cuBLASLt: how each kind of product is computed is asked of its heuristics once.
#pragma once

#include <memory>

#include "core/cuda/gemm_layout.h"
#include "core/cuda/launch.h"
#include "core/memory/allocator.h"

namespace lamina::cuda {

struct MatmulKey {
  GemmLayout layout;
  DType dtype;  // of all three matrices: f32 or bf16
  bool tf32;
  std::size_t alignment;  // of all three matrices, in bytes

  auto operator<=>(const MatmulKey&) const = default;
};

class MatmulPlans {
 public:
  MatmulPlans();
  ~MatmulPlans();

  struct Matrices {  // in BLAS' order
    const void *a, *b;
    void* c;
  };
  // C = op(A) op(B), nothing in it empty; sums are f32.
  void run(const MatmulKey& key, const Matrices& matrices, Allocator& allocator, Stream stream);

 private:
  class Plans;  // cuBLASLt's side of it
  std::unique_ptr<Plans> plans_;
};

}  // namespace lamina::cuda
