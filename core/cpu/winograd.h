// Winograd convolution for 3×3 kernels at stride 1, and at stride 2 with padding 1, in its three directions,
// on raw memory (NHWC). A tile of 4×4 results takes 36 and 81 products a channel pair instead of 144. T is
// float or double.
//
// In f32 results are about 1e-6 of their size off, twice to five times as much as direct convolution's.
#pragma once

#include "core/cpu/conv_direct.h"

namespace lamina::cpu {

// Whether these kernels take the shape, and beat direct convolution there.
template <typename T>
bool winograd_suits(const ConvShape& shape);

// The three directions, as in conv_direct.h.
template <typename T>
void conv_winograd(const ConvShape& shape, const T* x, const T* weight, T* y, Allocator& allocator);

template <typename T>
void conv_winograd_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x, bool add,
                              Allocator& allocator);

template <typename T>
void conv_winograd_grad_weight(const ConvShape& shape, const T* grad, const T* x, T* grad_weight,
                               Allocator& allocator);

}  // namespace lamina::cpu
