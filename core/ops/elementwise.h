// Arithmetic and activations, element by element. Binary ops broadcast as NumPy does. All are differentiable
// twice.
#pragma once

#include <span>
#include <vector>

#include "core/tensor.h"

namespace lamina {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor affine(const Tensor& x, double scale, double shift);  // scale * x + shift
Tensor maximum(const Tensor& a, const Tensor& b);            // a NaN wins
Tensor minimum(const Tensor& a, const Tensor& b);

// 1 where it holds, else 0, in the operands' dtype. Constants: their derivative is 0 wherever there is one.
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);

// a where the condition is not 0, else b; all three broadcast. What is not chosen may be anything, also NaN:
// its gradient is 0. The condition has none.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

Tensor relu(const Tensor& x);  // max(x, 0); NaN stays NaN
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor silu(const Tensor& x);  // x * sigmoid(x)
Tensor gelu(const Tensor& x);  // x * Phi(x), exact
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor abs(const Tensor& x);   // derivative 0 at 0
Tensor sign(const Tensor& x);  // -1, 0 or 1; derivative 0
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor pow(const Tensor& x, double exponent);            // NaN where x < 0 and the exponent is not an integer
Tensor clamp(const Tensor& x, double low, double high);  // to [low, high], where its derivative is 1, else 0

Tensor cast(const Tensor& x, DType dtype);                              // its gradient is cast back
std::vector<Tensor> cast_all(std::span<const Tensor> xs, DType dtype);  // each; a GPU does them at once

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, double b) { return affine(a, 1, b); }
inline Tensor operator-(const Tensor& a, double b) { return affine(a, 1, -b); }
inline Tensor operator*(const Tensor& a, double b) { return affine(a, b, 0); }
inline Tensor operator/(const Tensor& a, double b) { return affine(a, 1 / b, 0); }
inline Tensor operator+(double a, const Tensor& b) { return affine(b, 1, a); }
inline Tensor operator-(double a, const Tensor& b) { return affine(b, -1, a); }
inline Tensor operator*(double a, const Tensor& b) { return affine(b, a, 0); }
inline Tensor operator/(double a, const Tensor& b) { return affine(reciprocal(b), a, 0); }
inline Tensor operator-(const Tensor& a) { return affine(a, -1, 0); }

// In place where nothing is recorded: w -= 0.1 * w.grad() under NoGrad. Else a becomes the result, and other
// handles of its memory stay as they are; Error if a is then a leaf.
Tensor& operator+=(Tensor& a, const Tensor& b);
Tensor& operator-=(Tensor& a, const Tensor& b);
Tensor& operator*=(Tensor& a, const Tensor& b);
Tensor& operator/=(Tensor& a, const Tensor& b);
Tensor& operator+=(Tensor& a, double b);
Tensor& operator-=(Tensor& a, double b);
Tensor& operator*=(Tensor& a, double b);
Tensor& operator/=(Tensor& a, double b);

// A number among the operands is a tensor of one element.
inline Tensor scalar_like(const Tensor& x, double value) { return Tensor::full({}, value, x.options()); }
inline Tensor maximum(const Tensor& a, double b) { return maximum(a, scalar_like(a, b)); }
inline Tensor minimum(const Tensor& a, double b) { return minimum(a, scalar_like(a, b)); }
inline Tensor where(const Tensor& condition, const Tensor& a, double b) {
  return where(condition, a, scalar_like(a, b));
}
inline Tensor where(const Tensor& condition, double a, const Tensor& b) {
  return where(condition, scalar_like(b, a), b);
}
inline Tensor where(const Tensor& condition, double a, double b) {
  return where(condition, scalar_like(condition, a), scalar_like(condition, b));
}
inline Tensor operator>(const Tensor& a, const Tensor& b) { return greater(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return greater_equal(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return less(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return less_equal(a, b); }
inline Tensor operator>(const Tensor& a, double b) { return greater(a, scalar_like(a, b)); }
inline Tensor operator>=(const Tensor& a, double b) { return greater_equal(a, scalar_like(a, b)); }
inline Tensor operator<(const Tensor& a, double b) { return less(a, scalar_like(a, b)); }
inline Tensor operator<=(const Tensor& a, double b) { return less_equal(a, scalar_like(a, b)); }

}  // namespace lamina
