#include "data/images/image.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <new>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/base/whole_file.h"
#include "data/images/pixels.h"

namespace lamina::data {

namespace {

using Bytes = std::span<const std::uint8_t>;

bool starts_with(Bytes bytes, std::initializer_list<std::uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

bool named_tga(const std::string& name) {
  std::string ending = std::filesystem::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".tga";
}

Pixels decode(Bytes bytes, const std::string& name, std::int64_t most) {
  if (starts_with(bytes, {0xFF, 0xD8, 0xFF})) return decode_jpeg(bytes, name, most);
  if (starts_with(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'})) return decode_png(bytes, name, most);
  if (starts_with(bytes, {'B', 'M'})) return decode_bmp(bytes, name, most);
  if (starts_with(bytes, {'P', '5'}) || starts_with(bytes, {'P', '6'})) return decode_pnm(bytes, name, most);
  if (named_tga(name) && looks_like_tga(bytes)) return decode_tga(bytes, name, most);
  check(!bytes.empty(), "{}: the file is empty; expected an image", name);
  fail(
      "{}: neither a JPEG nor a PNG, BMP or PNM (P5, P6) image, nor a TGA image named .tga: its first byte "
      "is 0x{:02x}; convert or remove it",
      name, bytes[0]);
}

Pixels decode_or_explain(Bytes bytes, const std::string& name, std::int64_t most) {
  try {
    return decode(bytes, name, most);
  } catch (const TooManyPixels&) {
    throw;
  } catch (const Error& error) {
    throw DamagedImage(error.what());
  } catch (const std::bad_alloc&) {
    fail("{}: there is too little memory for its pixels: {}", name, describe_available_memory());
  }
}

struct Rgb {
  std::uint8_t r, g, b;
};

Rgb to_rgb(const std::uint8_t* pixel, int components) {
  if (components == 1) return {pixel[0], pixel[0], pixel[0]};
  if (components == 3) return {pixel[0], pixel[1], pixel[2]};
  // ink = 255 - stored, white = 255 - black ink; colour = white - ink * white / 255, rounded.
  const int white = pixel[3];
  const auto colour = [white](int stored) {
    const int product = (255 - stored) * white + 128;
    return static_cast<std::uint8_t>(white - (((product >> 8) + product) >> 8));
  };
  return {colour(pixel[0]), colour(pixel[1]), colour(pixel[2])};
}

// ITU-R BT.601 luma in 16-bit fixed point.
std::uint8_t luminance(Rgb c) {
  return static_cast<std::uint8_t>((c.r * 19595u + c.g * 38470u + c.b * 7471u + 0x8000u) >> 16);
}

Tensor convert(const Pixels& pixels, int channels) {
  Tensor image = Tensor::empty({pixels.height, pixels.width, channels}, {.dtype = DType::u8});
  auto* out = image.data<std::uint8_t>();
  if (pixels.components == channels) {
    std::copy(pixels.data.begin(), pixels.data.end(), out);
    return image;
  }
  for (std::size_t i = 0; i < pixels.data.size(); i += static_cast<std::size_t>(pixels.components)) {
    const Rgb colour = to_rgb(&pixels.data[i], pixels.components);
    if (channels == 1) {
      *out++ = luminance(colour);
    } else {
      *out++ = colour.r, *out++ = colour.g, *out++ = colour.b;
    }
  }
  return image;
}

}  // namespace

Tensor decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels,
                    std::int64_t most_pixels) {
  check(channels == 1 || channels == 3, "decode_image: {} channels; expected 3 (RGB) or 1 (luminance)",
        channels);
  return convert(decode_or_explain(bytes, name, most_pixels), channels);
}

Tensor decode_image(const std::filesystem::path& path, int channels, std::int64_t most_pixels) {
  return decode_image(read_bytes(path), printable(path.native()), channels, most_pixels);
}

}  // namespace lamina::data
