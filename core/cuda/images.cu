// Crops and mirrors u8 images, normalises them to f32 or bf16 and cuts out rectangles.
#include <type_traits>
#include <vector>

#include "core/base/error.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/images.h"

namespace lamina {
namespace {

using cuda::Stream;

// statistics: mean [C], then std [C].
template <typename T>
void crop_kernel(Stream stream, const Tensor& images, const Tensor& crops, const Tensor& statistics,
                 Tensor& out) {
  const std::int64_t height = images.size(1), width = images.size(2);
  const math::Divisor channels = images.size(3), out_height = out.size(1), out_width = out.size(2);
  const std::uint8_t* pixels = images.data<std::uint8_t>();
  const Crop* crop_of = reinterpret_cast<const Crop*>(crops.raw());
  const float *mean = statistics.data<float>(), *std = mean + channels;
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
  static_assert(std::is_trivially_copyable_v<Crop>);
  for (std::size_t n = 0; n < crops.size(); ++n) {  // here, as a kernel cannot throw
    check(crops[n].source >= 0 && crops[n].source < images.size(0),
          "crop_images: crop {} asks for image {}; expected 0 to {}", n, crops[n].source, images.size(0) - 1);
  }
  if (out.elements() == 0) return;
  std::vector<float> statistics(mean.begin(), mean.end());
  statistics.insert(statistics.end(), std.begin(), std.end());
  const Tensor on_gpu = Tensor::from(statistics, {2, images.size(3)}, images.device());
  Tensor crops_on_gpu =
      Tensor::empty({static_cast<std::int64_t>(crops.size_bytes())}, {DType::u8, images.device()});
  copy_from_host(crops.data(), crops_on_gpu);
  cuda::visit_floating(out.dtype(), "crop_images", [&](auto zero) {
    crop_kernel<decltype(zero)>(stream(), images, crops_on_gpu, on_gpu, out);
  });
}

}  // namespace lamina
