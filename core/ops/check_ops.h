// Checks that several op families share.
#pragma once

#include "core/base/error.h"
#include "core/tensor.h"

namespace lamina {

inline void check_defined(const char* operation, const char* what, const Tensor& x) {
  check(x.defined(), "{}: {} is an undefined tensor", operation, what);
}

inline void check_floating(const char* operation, const char* what, const Tensor& x) {
  check_defined(operation, what, x);
  check(is_floating(x.dtype()), "{}: {} is {}; expected f32, f64 or bf16; cast() it first", operation, what,
        x);
}

// Both floating, one dtype, one device.
inline void check_alike(const char* operation, const Tensor& a, const Tensor& b) {
  check_floating(operation, "the first operand", a);
  check_floating(operation, "the second operand", b);
  check(a.dtype() == b.dtype(), "{}: operands are {} and {}; expected one dtype; cast() one of them",
        operation, a, b);
  check(a.device() == b.device(), "{}: operands are {} and {}; expected one device; move one with to()",
        operation, a, b);
}

}  // namespace lamina
