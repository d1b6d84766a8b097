// Image files to pixels, the same ones as PIL's Image.open(path).convert("RGB" or "L"): alpha is dropped,
// orientation tags are not applied. Of 16 bits PNG keeps the high 8 (of grey PIL keeps the low ones,
// clipped); PNM's are scaled, as all its values are, so that the file's maximum becomes 255, and rounded.
//
// JPEG, PNG; BMP but for packed (RLE) ones and OS/2's with a palette; TGA, also packed; PGM and PPM in their
// binary forms, P5 and P6.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/tensor.h"

namespace lamina::data {

// The default of how many pixels an image may have. Larger ones are refused before memory is asked for: a
// file of a kilobyte can claim any size.
inline constexpr std::int64_t max_pixels = 64 * 1024 * 1024;

// An image that is refused for its size alone.
class TooManyPixels : public Error {
 public:
  using Error::Error;
};

// A file that could be read, but not decoded: damaged, cut short, no image, of a kind that is not read.
class DamagedImage : public Error {
 public:
  using Error::Error;
};

// -> u8 [H, W, channels]; channels is 3 (RGB) or 1 (luminance). The content decides what the file is, not its
// name; only TGA, which nothing but a plausible header tells, must be named .tga. `name` is for messages.
// Throws DamagedImage and TooManyPixels naming the file, other Errors for what cannot be read or is too much
// for the memory.
Tensor decode_image(const std::filesystem::path& path, int channels = 3,
                    std::int64_t most_pixels = max_pixels);
Tensor decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels = 3,
                    std::int64_t most_pixels = max_pixels);

// The largest side that images are resized to.
inline constexpr int most_image_size = 8192;

// u8 [H, W, C] -> [size, size, C]: the shorter side is resized to `size` (triangle filter, widened when
// shrinking, as PIL's BILINEAR), then the centre is cut out, as torchvision's Resize and CenterCrop do.
// Throws Error unless 1 <= size <= most_image_size, and TooManyPixels for an image so elongated that it would
// have more than `most_pixels` before the cut; a limit below the default is taken for that.
Tensor resize_image(const Tensor& image, int size, std::int64_t most_pixels = max_pixels);

}  // namespace lamina::data
