// F(4×4, 3×3) of Lavin & Gray (2016), "Fast Algorithms for Convolutional Neural Networks", §4.2: with a 3×3
// kernel g and a 6×6 piece d of the image, the 4×4 results are
//   y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A.
// y is linear in g, so that its gradient is the transposed formula, with the same matrices:
//   grad_g = Gᵀ [(A grad_y Aᵀ) ⊙ (Bᵀ d B)] G.
//
// The matrices evaluate and interpolate polynomials at 0, a, −a, b, −b and ∞ (Toom and Cook; Winograd 1980,
// "Arithmetic Complexity of Computations", §V). A row for each point:
//
//        a²b²   0   −a²−b²  0   1  0         1/a²b²               1   0   0   0
//         0   −ab²   −b²    a   1  0         (1   a   a²) / N_a   1   a   a²  a³
//   Bᵀ =  0    ab²   −b²   −a   1  0    G =  (1  −a   a²) / N_a   1  −a   a² −a³   = A
//         0   −a²b   −a²    b   1  0         (1   b   b²) / N_b   1   b   b²  b³
//         0    a²b   −a²   −b   1  0         (1  −b   b²) / N_b   1  −b   b² −b³
//         0    a²b²   0   −a²−b² 0  1        (0   0   1)          0   0   0   1
//
// with N_a = 2a²(a² − b²), N_b = 2b²(b² − a²). a = 3/4, b = 3/2 round half as much as the customary 1 and 2.
#pragma once

#include "core/cpu/vector.h"

namespace lamina::cpu::winograd {

inline constexpr int kernel = 3;  // weights along a side

// Stride 1. The points and the entries of the matrices.
template <typename T>
struct Points {
  static constexpr T a = T(0.75), a2 = a * a, a3 = a2 * a;
  static constexpr T b = T(1.5), b2 = b * b, b3 = b2 * b;
  static constexpr T n_a = 2 * a2 * (a2 - b2), n_b = 2 * b2 * (b2 - a2);
};

// Each struct is one matrix times a column of `from` vectors, giving `to` vectors.

template <typename T>
struct Bt {
  using P = Points<T>;
  static constexpr int from = 6, to = 6;
  static void apply(const Vector<T>* d, Vector<T>* out) {
    const Vector<T> even_a = d[4] - P::b2 * d[2], odd_a = d[3] - P::b2 * d[1];
    const Vector<T> even_b = d[4] - P::a2 * d[2], odd_b = d[3] - P::a2 * d[1];
    out[0] = P::a2 * P::b2 * d[0] - (P::a2 + P::b2) * d[2] + d[4];
    out[1] = even_a + P::a * odd_a;
    out[2] = even_a - P::a * odd_a;
    out[3] = even_b + P::b * odd_b;
    out[4] = even_b - P::b * odd_b;
    out[5] = P::a2 * P::b2 * d[1] - (P::a2 + P::b2) * d[3] + d[5];
  }
};

template <typename T>
struct G {
  using P = Points<T>;
  static constexpr int from = kernel, to = 6;
  static void apply(const Vector<T>* g, Vector<T>* out) {
    const Vector<T> even_a = (1 / P::n_a) * (g[0] + P::a2 * g[2]), odd_a = (1 / P::n_a) * P::a * g[1];
    const Vector<T> even_b = (1 / P::n_b) * (g[0] + P::b2 * g[2]), odd_b = (1 / P::n_b) * P::b * g[1];
    out[0] = (1 / (P::a2 * P::b2)) * g[0];
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = g[2];
  }
};

template <typename T>
struct Gt {
  using P = Points<T>;
  static constexpr int from = 6, to = kernel;
  static void apply(const Vector<T>* s, Vector<T>* out) {
    const Vector<T> sum_a = (1 / P::n_a) * (s[1] + s[2]), difference_a = (1 / P::n_a) * (s[1] - s[2]);
    const Vector<T> sum_b = (1 / P::n_b) * (s[3] + s[4]), difference_b = (1 / P::n_b) * (s[3] - s[4]);
    out[0] = (1 / (P::a2 * P::b2)) * s[0] + sum_a + sum_b;
    out[1] = P::a * difference_a + P::b * difference_b;
    out[2] = P::a2 * sum_a + P::b2 * sum_b + s[5];
  }
};

template <typename T>
struct A {
  using P = Points<T>;
  static constexpr int from = 4, to = 6;
  static void apply(const Vector<T>* g, Vector<T>* out) {
    const Vector<T> even_a = g[0] + P::a2 * g[2], odd_a = g[1] + P::a2 * g[3];
    const Vector<T> even_b = g[0] + P::b2 * g[2], odd_b = g[1] + P::b2 * g[3];
    out[0] = g[0];
    out[1] = even_a + P::a * odd_a;
    out[2] = even_a - P::a * odd_a;
    out[3] = even_b + P::b * odd_b;
    out[4] = even_b - P::b * odd_b;
    out[5] = g[3];
  }
};

template <typename T>
struct At {
  using P = Points<T>;
  static constexpr int from = 6, to = 4;
  static void apply(const Vector<T>* m, Vector<T>* out) {
    const Vector<T> sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    const Vector<T> sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    out[0] = m[0] + sum_a + sum_b;
    out[1] = P::a * difference_a + P::b * difference_b;
    out[2] = P::a2 * sum_a + P::b2 * sum_b;
    out[3] = P::a3 * difference_a + P::b3 * difference_b + m[5];
  }
};

// M x Mᵀ for a square x of vectors: read(row, column) gives its elements, write(row, column, value) takes the
// results. Columns first, then rows.
template <template <typename> typename M, typename T, typename Read, typename Write>
[[gnu::always_inline]] inline void transform(const Read read, const Write write) {
  constexpr int from = M<T>::from, to = M<T>::to;
  Vector<T> half[to][from];
#pragma GCC unroll 9
  for (int column = 0; column < from; ++column) {
    Vector<T> in[from], out[to];
#pragma GCC unroll 9
    for (int row = 0; row < from; ++row) in[row] = read(row, column);
    M<T>::apply(in, out);
#pragma GCC unroll 9
    for (int row = 0; row < to; ++row) half[row][column] = out[row];
  }
#pragma GCC unroll 9
  for (int row = 0; row < to; ++row) {
    Vector<T> out[to];
    M<T>::apply(half[row], out);
#pragma GCC unroll 9
    for (int column = 0; column < to; ++column) write(row, column, out[column]);
  }
}

// How one direction of a convolution is computed: its matrices, and along a side
struct UnitStride {
  static constexpr int tile = 4;         // results
  static constexpr int patch = 6;        // source pixels that they depend on
  static constexpr int source_step = 4;  // source pixels from a tile's patch to the next one's
  static constexpr int points = 6;       // products a channel pair
  static constexpr int kernels = 6;      // transformed weights, of which
  static constexpr int kernel_of(int point) { return point; }  // is the point's
  template <typename T>
  using Bt = winograd::Bt<T>;
  template <typename T>
  using G = winograd::G<T>;
  template <typename T>
  using Gt = winograd::Gt<T>;
  template <typename T>
  using A = winograd::A<T>;
  template <typename T>
  using At = winograd::At<T>;
};

}  // namespace lamina::cpu::winograd
