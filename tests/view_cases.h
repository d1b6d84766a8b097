// Views of one image, with what Pillow 13.0 makes of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend.h"

namespace lamina::tests {

// u8 [1, 32, 32, 3].
inline Tensor view_test_image() {
  Tensor image = Tensor::empty({1, 32, 32, 3}, {DType::u8});
  std::uint8_t* pixel = image.data<std::uint8_t>();
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x)
      for (int c = 0; c < 3; ++c)
        *pixel++ = static_cast<std::uint8_t>(37 * y + 101 * x + 53 * c + 7 * y * x + 11 * c * x);
  return image;
}

struct ViewCase {
  std::string name;
  View view;
  std::int64_t height, width;
  std::uint32_t crc;  // of the bytes
};

inline std::vector<ViewCase> view_cases() {
  using math::Filter;
  using Op = math::ViewOperator;
  const auto step = [](const char* name, Op op, float amount, std::uint32_t crc) {
    const View view{.height = 32, .width = 32, .steps = {{op, amount}}};
    return ViewCase{name, view, 32, 32, crc};
  };
  const auto crop = [](const char* name, Filter filter, bool flip, std::uint32_t crc) {
    const View view{.top = 3, .left = 5, .height = 11, .width = 14, .filter = filter, .flip = flip};
    return ViewCase{name, view, 32, 32, crc};
  };
  const auto resize = [](const char* name, Filter filter, std::int64_t height, std::int64_t width,
                         std::uint32_t crc) {
    const View view{.height = 32, .width = 32, .filter = filter};
    return ViewCase{name, view, height, width, crc};
  };
  return {step("nothing", Op::none, 0, 0x29f819b7),
          step("brightness 1.3", Op::brightness, 1.3f, 0x3b5f5269),
          step("brightness 0.65", Op::brightness, 0.65f, 0x183d83ea),
          step("contrast 1.3", Op::contrast, 1.3f, 0x64a15472),
          step("contrast 0.7", Op::contrast, 0.7f, 0x770a43b8),
          step("saturation 0.8", Op::saturation, 0.8f, 0x37bc8ac5),
          step("saturation 1.2", Op::saturation, 1.2f, 0x78b0798e),
          step("hue +0.1", Op::hue, 0.1f, 0xfc225dd7),
          step("hue -0.07", Op::hue, -0.07f, 0xbb7c9317),
          step("grayscale", Op::grayscale, 0, 0x0befdee7),
          step("blur 0.5", Op::blur, 0.5f, 0x7cc3d033),
          step("blur 1.7", Op::blur, 1.7f, 0x2b5f070e),
          step("solarize", Op::solarize, 128, 0x9ba245e7),
          crop("bicubic crop", Filter::bicubic, false, 0x03713528),
          crop("bilinear crop", Filter::bilinear, false, 0x072ffecd),
          crop("mirrored crop", Filter::bicubic, true, 0xaede86b2),
          resize("bicubic, 20 rows of 24", Filter::bicubic, 20, 24, 0x20209b46),
          resize("bicubic, 5 rows of 7", Filter::bicubic, 5, 7, 0x39e79456),
          resize("bilinear, 5 rows of 7", Filter::bilinear, 5, 7, 0x011b1db4),
          resize("bicubic, 100 rows of 90", Filter::bicubic, 100, 90, 0x7e97c909),
          step("blur 5", Op::blur, 5, 0x327be698),
          step("blur 0.1", Op::blur, 0.1f, 0x29f819b7),  // leaves 8 bits as they are
          step("saturation 2.5", Op::saturation, 2.5f, 0x7c2d3556)};
}

}  // namespace lamina::tests
