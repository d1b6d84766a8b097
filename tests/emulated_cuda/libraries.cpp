// What cuBLASLt and cuDNN do on a GPU, by the CPU.
#include <cstring>
#include <vector>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/bf16.h"
#include "core/cuda/conv_plans.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/matmul_plans.h"

namespace lamina {
namespace cuda {

class MatmulPlans::Plans {};
MatmulPlans::MatmulPlans() = default;
MatmulPlans::~MatmulPlans() = default;

namespace {

// BLAS' definition: C[i + j * ldc] = sum over l of op(A)(i, l) op(B)(l, j).
template <typename T>
void gemm(const GemmLayout& g, const T* a, const T* b, T* c) {
  for (std::int64_t j = 0; j < g.n; ++j) {
    for (std::int64_t i = 0; i < g.m; ++i) {
      double sum = 0;
      for (std::int64_t l = 0; l < g.k; ++l)
        sum += static_cast<double>(static_cast<float>(g.transpose_a ? a[l + i * g.lda] : a[i + l * g.lda])) *
               static_cast<double>(static_cast<float>(g.transpose_b ? b[j + l * g.ldb] : b[l + j * g.ldb]));
      c[i + j * g.ldc] = static_cast<T>(static_cast<float>(sum));
    }
  }
}

}  // namespace

void MatmulPlans::run(const MatmulKey& key, const Matrices& matrices, Allocator&, Stream stream) {
  check(key.layout.lda >= (key.layout.transpose_a ? key.layout.k : key.layout.m) &&
            key.layout.ldb >= (key.layout.transpose_b ? key.layout.n : key.layout.k) &&
            key.layout.ldc >= key.layout.m,
        "cuBLAS would refuse these leading dimensions");
  hand_out(stream, [key, matrices] {
    if (key.dtype == DType::bf16) {
      gemm(key.layout, static_cast<const Bf16*>(matrices.a), static_cast<const Bf16*>(matrices.b),
           static_cast<Bf16*>(matrices.c));
    } else {
      gemm(key.layout, static_cast<const float*>(matrices.a), static_cast<const float*>(matrices.b),
           static_cast<float*>(matrices.c));
    }
  });
}

class ConvPlans::Choices {};
ConvPlans::ConvPlans() = default;
ConvPlans::~ConvPlans() = default;
std::string ConvPlans::report() const { return ""; }

namespace {

Shape nhwc(const ConvTensor& t) { return {t.extents[0], t.extents[2], t.extents[3], t.extents[1]}; }

// The CPU has no bf16: operands are widened, and what comes out is rounded.
Tensor read(const ConvTensor& form, const void* data) {
  Tensor narrow = Tensor::empty(nhwc(form), {form.dtype});
  std::memcpy(narrow.raw(), data, narrow.bytes());
  if (form.dtype != DType::bf16) return narrow;
  Tensor wide = Tensor::empty(narrow.shape());
  cpu_backend().cast(narrow, wide);
  return wide;
}
void write(const Tensor& result, const ConvTensor& form, void* data) {
  Tensor narrow = result;
  if (form.dtype == DType::bf16)
    cpu_backend().cast(result, narrow = Tensor::empty(result.shape(), {form.dtype}));
  std::memcpy(data, narrow.raw(), narrow.bytes());
}

}  // namespace

void ConvPlans::run(const ConvProblem& problem, const ConvPointers& pointers, const Resources& resources) {
  hand_out(resources.stream, [problem, pointers] {
    const Conv2dOptions options{.stride = problem.stride, .padding = problem.padding};
    const auto& [x, weight, y] = pointers;
    Backend& cpu = cpu_backend();
    switch (problem.direction) {
      case ConvDirection::forward: {
        Tensor out = Tensor::empty(nhwc(problem.y));
        cpu.conv2d(read(problem.x, x), read(problem.weight, weight), options, out);
        return write(out, problem.y, y);
      }
      case ConvDirection::grad_input: {
        Tensor out = problem.adds ? read(problem.x, x) : Tensor::empty(nhwc(problem.x));
        const auto kernel = problem.adds ? &Backend::conv2d_add_grad_input : &Backend::conv2d_grad_input;
        (cpu.*kernel)(read(problem.y, y), read(problem.weight, weight), options, out);
        return write(out, problem.x, x);
      }
      case ConvDirection::grad_weight: {
        Tensor out = Tensor::empty(nhwc(problem.weight));
        cpu.conv2d_grad_weight(read(problem.y, y), read(problem.x, x), options, out);
        return write(out, problem.weight, weight);
      }
    }
  });
}

}  // namespace cuda

std::vector<std::string> cuda_libraries() { return {"the CPU's convolutions and products"}; }

std::string cuda_obstacle(int) { return ""; }  // the libraries are above

double CudaBackend::peak_gflops() { return cpu_backend().peak_gflops(); }

}  // namespace lamina
