// Matrix products: each is one of the three directions of a convolution with a 1×1 kernel on images of one
// pixel.
#include "core/cpu/conv_direct.h"
#include "core/cpu/cpu_backend.h"
#include "core/cpu/transpose.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

cpu::ConvShape on_single_pixels(std::int64_t images, std::int64_t in_channels, std::int64_t out_channels) {
  return {.images = images,
          .in_height = 1,
          .in_width = 1,
          .in_channels = in_channels,
          .out_height = 1,
          .out_width = 1,
          .out_channels = out_channels,
          .kernel_height = 1,
          .kernel_width = 1};
}

// out [rows, columns] = the product over `depth` of a and b, each of which may lie transposed.
template <typename T>
void multiply(const T* a, const T* b, const MatmulOptions& options, std::int64_t rows, std::int64_t depth,
              std::int64_t columns, T* out, Allocator& allocator) {
  if (!options.transpose_a && options.transpose_b)
    return conv_direct(on_single_pixels(rows, depth, columns), a, b, out, allocator);
  if (!options.transpose_a)
    return conv_direct_grad_input(on_single_pixels(rows, columns, depth), a, b, out, /*add=*/false,
                                  allocator);
  if (!options.transpose_b)
    return conv_direct_grad_weight(on_single_pixels(depth, columns, rows), a, b, out, allocator);
  const Scratch<T> transposed(allocator, columns * rows);  // aᵀ bᵀ = (b a)ᵀ
  conv_direct_grad_input(on_single_pixels(columns, rows, depth), b, a, transposed.data(), /*add=*/false,
                         allocator);
  cpu::transpose(transposed.data(), rows, columns, rows, out, columns);
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, Tensor& out) {
  visit_floating(a.dtype(), "matmul", [&](auto zero) {
    using T = decltype(zero);
    multiply(a.data<T>(), b.data<T>(), options, out.size(0), a.size(options.transpose_a ? 0 : 1), out.size(1),
             out.data<T>(), allocator_);
  });
}

}  // namespace lamina
