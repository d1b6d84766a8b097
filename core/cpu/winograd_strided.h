// Stride 2, padding 1. Along a side the outer two of the three weights meet pixels of one parity, and the
// middle one those of the other:
//   y_i = (g_0 x_{2i−1} + g_2 x_{2i+1}) + g_1 x_{2i}.
// The bracket is a convolution of two weights, of which four results take five products by F(4, 2) of Lavin &
// Gray (2016) instead of eight; the rest is four products as they are. So 9² = 81 products a channel pair
// give 4×4 results instead of 144. Grad-input is alike: every other
// pixel of it is a sum of two products,
//   grad_x_{2j} = g_1 grad_y_j,   grad_x_{2j+1} = g_2 grad_y_j + g_0 grad_y_{j+1}.
//
// F(4, 2) interpolates at 0, 1, −1, b and ∞ (Toom and Cook, as in winograd_transforms.h):
//
//        b  −1  −b   1  0         (1   0) / N_0          1   0   0   0
//        0  −b  1−b  1  0         (1   1) / N_1          1   1   1   1
//   Bᵀ = 0   b −1−b  1  0     G = (1  −1) / N_−1     A = 1  −1   1  −1
//        0  −1   0   1  0         (1   b) / N_b          1   b   b²  b³
//        0   b  −1  −b  1         (0   1)                0   0   0   1
//
// with N_0 = b, N_1 = 2(1 − b), N_−1 = −2(1 + b), N_b = b(b² − 1). Of the b tried, 1/4 to 4, 2 rounds least.
#pragma once

#include "core/cpu/winograd_transforms.h"

namespace lamina::cpu::winograd {

// F(4, 2): y_i = d_i g_0 + d_{i+1} g_1.
template <typename T>
struct TwoWeights {
  static constexpr T b = 2;
  static constexpr T n_0 = b, n_1 = 2 * (1 - b), n_minus_1 = -2 * (1 + b), n_b = b * (b * b - 1);

  static void patch(const Vector<T>& d0, const Vector<T>& d1, const Vector<T>& d2, const Vector<T>& d3,
                    const Vector<T>& d4, Vector<T>* out) {
    const Vector<T> even = d3 - b * d2, odd = d2 - b * d1;
    out[0] = even - (d1 - b * d0);
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = d3 - d1;
    out[4] = (d4 - b * d3) - odd;
  }
  static void weights(const Vector<T>& g0, const Vector<T>& g1, Vector<T>* out) {
    out[0] = (1 / n_0) * g0;
    out[1] = (1 / n_1) * (g0 + g1);
    out[2] = (1 / n_minus_1) * (g0 - g1);
    out[3] = (1 / n_b) * (g0 + b * g1);
    out[4] = g1;
  }
  // What `weights` multiplied by, transposed.
  static void grad_weights(const Vector<T>* s, Vector<T>& g0, Vector<T>& g1) {
    const Vector<T> plus = (1 / n_1) * s[1], minus = (1 / n_minus_1) * s[2], at_b = (1 / n_b) * s[3];
    g0 = (1 / n_0) * s[0] + plus + minus + at_b;
    g1 = plus - minus + b * at_b + s[4];
  }
  static void grads(const Vector<T>* y, Vector<T>* out) {
    const Vector<T> even = y[0] + y[2], odd = y[1] + y[3];
    out[0] = y[0];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = y[0] + b * y[1] + b * b * (y[2] + b * y[3]);
    out[4] = y[3];
  }
  static void results(const Vector<T>* m, Vector<T>& y0, Vector<T>& y1, Vector<T>& y2, Vector<T>& y3) {
    const Vector<T> sum = m[1] + m[2], difference = m[1] - m[2];
    y0 = m[0] + sum + m[3];
    y1 = difference + b * m[3];
    y2 = sum + b * b * m[3];
    y3 = difference + b * b * b * m[3] + m[4];
  }
};

// Products 0 to 4 are those of F(4, 2), 5 to 8 those with the middle weight, which share its U.
struct Strided {
  static constexpr int tile = 4, patch = 9, source_step = 8, points = 9, kernels = 6;
  static constexpr int kernel_of(int point) { return point < 5 ? point : 5; }

  template <typename T>
  struct Bt {
    static constexpr int from = patch, to = points;
    static void apply(const Vector<T>* d, Vector<T>* out) {
      TwoWeights<T>::patch(d[0], d[2], d[4], d[6], d[8], out);
      out[5] = d[1], out[6] = d[3], out[7] = d[5], out[8] = d[7];
    }
  };
  template <typename T>
  struct G {
    static constexpr int from = kernel, to = kernels;
    static void apply(const Vector<T>* g, Vector<T>* out) {
      TwoWeights<T>::weights(g[0], g[2], out);
      out[5] = g[1];
    }
  };
  template <typename T>
  struct Gt {
    static constexpr int from = kernels, to = kernel;
    static void apply(const Vector<T>* s, Vector<T>* out) {
      TwoWeights<T>::grad_weights(s, out[0], out[2]);
      out[1] = s[5];
    }
  };
  template <typename T>
  struct A {
    static constexpr int from = tile, to = points;
    static void apply(const Vector<T>* y, Vector<T>* out) {
      TwoWeights<T>::grads(y, out);
      out[5] = y[0], out[6] = y[1], out[7] = y[2], out[8] = y[3];
    }
  };
  template <typename T>
  struct At {
    static constexpr int from = points, to = tile;
    static void apply(const Vector<T>* m, Vector<T>* out) {
      TwoWeights<T>::results(m, out[0], out[1], out[2], out[3]);
      for (int i = 0; i < tile; ++i) out[i] += m[5 + i];
    }
  };
};

// Grad-input, with the kernels turned by 180 degrees.
struct StridedGradInput {
  static constexpr int tile = 8, patch = 5, source_step = 4, points = 9, kernels = 6;
  static constexpr int kernel_of(int point) { return Strided::kernel_of(point); }

  template <typename T>
  struct Bt {
    static constexpr int from = patch, to = points;
    static void apply(const Vector<T>* d, Vector<T>* out) {
      TwoWeights<T>::patch(d[0], d[1], d[2], d[3], d[4], out);
      out[5] = d[0], out[6] = d[1], out[7] = d[2], out[8] = d[3];
    }
  };
  template <typename T>
  using G = Strided::G<T>;
  template <typename T>
  struct At {
    static constexpr int from = points, to = tile;
    static void apply(const Vector<T>* m, Vector<T>* out) {
      TwoWeights<T>::results(m, out[1], out[3], out[5], out[7]);
      out[0] = m[5], out[2] = m[6], out[4] = m[7], out[6] = m[8];
    }
  };
};

}  // namespace lamina::cpu::winograd
