// Vectors of parameter space: tensors [n] in f32 or f64 on the CPU. Sums are in double, and the same bits for
// any number of threads. Lengths and dtypes of two vectors must agree, else Error.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace lamina::analysis {

double inner_product(const Tensor& x, const Tensor& y);
double length(const Tensor& x);

void scale(const Tensor& x, double a);                         // x ← a x
void add_scaled(const Tensor& y, double a, const Tensor& x);   // y ← y + a x
void multiply_by_magnitude(const Tensor& x, const Tensor& w);  // x ← |w| x, element by element

// x ← x − Σᵢ (qᵢ·x) qᵢ, twice: once leaves what rounding put back ("twice is enough", Giraud et al. 2005).
void remove_components(const Tensor& x, std::span<const Tensor> q);
// Σᵢ aᵢ qᵢ
Tensor combine(std::span<const Tensor> q, std::span<const double> a);

// Elements that are +1 or −1, each with a half: a pure function of (seed, draw), like Tensor::randn().
Tensor random_signs(std::int64_t n, DType dtype, std::uint64_t seed, std::uint32_t draw);

}  // namespace lamina::analysis
