// Crops and mirrors u8 images, normalises them to f32 or bf16 and cuts out rectangles.
#include <cstddef>
#include <type_traits>
#include <vector>

#include "core/base/error.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/images.h"

namespace lamina {
namespace {

using cuda::Stream;

// One after another, so that they go to the GPU at once.
std::vector<std::byte> joined(std::span<const Crop> crops, std::span<const float> mean,
                              std::span<const float> std) {
  std::vector<std::byte> all;
  for (const auto part : {std::as_bytes(crops), std::as_bytes(mean), std::as_bytes(std)})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

template <typename T>
void crop_kernel(Stream stream, const Tensor& images, const Crop* crop_of, const float* mean,
                 const float* std, Tensor& out) {
  const std::int64_t height = images.size(1), width = images.size(2);
  const math::Divisor channels = images.size(3), out_height = out.size(1), out_width = out.size(2);
  const std::uint8_t* pixels = images.data<std::uint8_t>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t c = i % channels, place = i / channels;
    const std::int64_t x = place % out_width, line = place / out_width, y = line % out_height;
    const Crop crop = crop_of[line / out_height];
    const std::int64_t row = crop.top + y, column = crop.left + (crop.flip ? out_width - 1 - x : x);
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    const std::int64_t from = ((crop.source * height + row) * width + column) * channels + c;
    const bool cut = y >= crop.cut_top && y < crop.cut_bottom && x >= crop.cut_left && x < crop.cut_right;
    const std::uint8_t pixel = inside ? pixels[from] : std::uint8_t{0};
    to[i] = static_cast<T>(cut ? 0.0f : math::normalised_pixel(pixel, mean[c], std[c]));
  });
}

}  // namespace

void CudaBackend::crop_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                              std::span<const float> std, Tensor& out) {
  static_assert(std::is_trivially_copyable_v<Crop> && sizeof(Crop) % alignof(float) == 0);
  for (std::size_t n = 0; n < crops.size(); ++n) {  // here, as a kernel cannot throw
    check(crops[n].source >= 0 && crops[n].source < images.size(0),
          "crop_images: crop {} asks for image {}; expected 0 to {}", n, crops[n].source, images.size(0) - 1);
  }
  if (out.elements() == 0) return;
  const std::vector<std::byte> bytes = joined(crops, mean, std);
  Tensor on_gpu = Tensor::empty({std::ssize(bytes)}, {DType::u8, images.device()});
  copy_from_host(bytes.data(), on_gpu);
  const auto* crop_of = reinterpret_cast<const Crop*>(on_gpu.raw());
  const auto* mean_of = reinterpret_cast<const float*>(crop_of + crops.size());
  cuda::visit_floating(out.dtype(), "crop_images", [&](auto zero) {
    crop_kernel<decltype(zero)>(stream(), images, crop_of, mean_of, mean_of + mean.size(), out);
  });
}

}  // namespace lamina
