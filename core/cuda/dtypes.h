// The element types of the GPU's kernels: values are loaded to float, computed, and rounded when stored.
#pragma once

#include <string_view>
#include <utility>

#include "core/bf16.h"
#include "core/dtype.h"

namespace lamina::cuda {

// visit_floating(dtype, "relu", [&](auto zero) { using T = decltype(zero); … }) for f32 and bf16.
template <typename F>
decltype(auto) visit_floating(DType dtype, std::string_view operation, F&& f) {
  if (dtype == DType::f32) return std::forward<F>(f)(float{});
  if (dtype == DType::bf16) return std::forward<F>(f)(Bf16{});
  fail("{}: dtype {} is not supported on CUDA; expected f32 or bf16 (f64 is for gradient checks on the CPU)",
       operation, name_of(dtype));
}

}  // namespace lamina::cuda
