// Direct convolution of NHWC images on raw memory, in its three directions: no patch matrix is built, at
// most a padded copy of the images. T is float or double. For any kernel size, stride and padding.
#pragma once

#include <cstdint>

namespace lamina {
class Allocator;
}

namespace lamina::cpu {

struct ConvShape {
  std::int64_t images = 0;
  std::int64_t in_height = 0, in_width = 0, in_channels = 0;
  std::int64_t out_height = 0, out_width = 0, out_channels = 0;
  std::int64_t kernel_height = 0, kernel_width = 0;
  std::int64_t stride = 1, padding = 0;

  std::int64_t taps() const { return kernel_height * kernel_width; }
};

// y[n,i,j,o] = Σ_{r,s,c} x[n, i·stride + r − padding, j·stride + s − padding, c] · weight[o,r,s,c]
template <typename T>
void conv_direct(const ConvShape& shape, const T* x, const T* weight, T* y, Allocator& allocator);

// add: to what grad_x holds, instead of replacing it.
template <typename T>
void conv_direct_grad_input(const ConvShape& shape, const T* grad, const T* weight, T* grad_x, bool add,
                            Allocator& allocator);

// grad_weight[o,r,s,c] = Σ_{n,i,j} grad[n,i,j,o] · x[n, i·stride + r − padding, j·stride + s − padding, c]
template <typename T>
void conv_direct_grad_weight(const ConvShape& shape, const T* grad, const T* x, T* grad_weight,
                             Allocator& allocator);

}  // namespace lamina::cpu
