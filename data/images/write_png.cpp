#include "data/images/write_png.h"

#include <string>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace lamina::data {

void write_png(const std::filesystem::path& path, const Tensor& image) {
  check(image.rank() == 3 && image.dtype() == DType::u8 && (image.size(2) == 1 || image.size(2) == 3),
        "write_png {}: {}; expected u8 [H, W, C] with 1 or 3 channels", path.string(), image.str());
  check(image.elements() > 0 && image.size(0) <= 65535 && image.size(1) <= 65535,
        "write_png {}: {}×{} pixels (height×width); expected 1 to 65535", path.string(), image.size(0),
        image.size(1));
  const Tensor host = image.to(Device::cpu());
  const auto height = static_cast<int>(host.size(0)), width = static_cast<int>(host.size(1)),
             channels = static_cast<int>(host.size(2));
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  };
  const int written =
      stbi_write_png_to_func(append, &bytes, width, height, channels, host.raw(), width * channels);
  check(written != 0, "write_png {}: {}×{} pixels do not fit into memory", path.string(), height, width);
  write_file_atomically(path, bytes);
}

}  // namespace lamina::data
