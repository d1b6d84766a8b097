// BMP and TGA images by stb_image. What it would pass over is refused here, from the header, before it is
// called: files that end too early, which it fills up, and a BMP's colours outside the palette, which it
// makes up. Those of a TGA become colour 0.
#include <algorithm>
#include <memory>

#include "data/images/pixels.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_SIMD
#include <stb/stb_image.h>

namespace lamina::data {

namespace {

using StbBytes = std::span<const std::uint8_t>;

std::int64_t little_endian_16(StbBytes bytes, std::size_t at) { return bytes[at] | bytes[at + 1] << 8; }
std::int64_t little_endian_32(StbBytes bytes, std::size_t at) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(little_endian_16(bytes, at)) |
                                   static_cast<std::uint32_t>(little_endian_16(bytes, at + 2)) << 16);
}

// What stb has not read yet, and whether it asked for more when there was nothing left.
struct StbInput {
  StbBytes rest;
  bool exhausted = false;

  static int read(void* user, char* to, int size) {
    auto& input = *static_cast<StbInput*>(user);
    const std::size_t count = std::min(static_cast<std::size_t>(size), input.rest.size());
    input.exhausted = input.exhausted || count == 0;
    std::copy_n(input.rest.begin(), count, to);
    input.rest = input.rest.subspan(count);
    return static_cast<int>(count);
  }
  static void skip(void* user, int size) {
    auto& input = *static_cast<StbInput*>(user);
    input.rest = input.rest.subspan(std::min(static_cast<std::size_t>(size), input.rest.size()));
  }
  static int at_end(void* user) { return static_cast<StbInput*>(user)->rest.empty() ? 1 : 0; }
};

// `pixels` has its size.
Pixels decode_with_stb(StbBytes bytes, const std::string& name, const char* format, Pixels pixels) {
  const stbi_io_callbacks callbacks{.read = StbInput::read, .skip = StbInput::skip, .eof = StbInput::at_end};
  StbInput input{.rest = bytes};
  int width = 0, height = 0, components = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> decoded(
      stbi_load_from_callbacks(&callbacks, &input, &width, &height, &components, pixels.components),
      &stbi_image_free);
  check(decoded != nullptr, "{}: damaged {} image, or of a kind that is not read: {}", name, format,
        stbi_failure_reason());
  check(!input.exhausted, "{}: truncated {} image", name, format);
  check(width == pixels.width && height == pixels.height, "{}: damaged {} image: {}×{} or {}×{} pixels", name,
        format, width, height, pixels.width, pixels.height);
  pixels.allocate();
  std::copy_n(decoded.get(), pixels.data.size(), pixels.data.begin());
  return pixels;
}

void check_length(StbBytes bytes, const std::string& name, const char* format, std::int64_t needed) {
  check(std::ssize(bytes) >= needed, "{}: truncated {} image: {} bytes; expected at least {}", name, format,
        bytes.size(), needed);
}

struct BmpHeader {
  std::int64_t offset = 0, size = 0;  // of the pixels in the file; of the header that tells the rest
  std::int64_t width = 0, height = 0, bits = 0;

  std::int64_t row_bytes() const { return (width * bits + 7) / 8; }
  std::int64_t stride() const { return (row_bytes() + 3) / 4 * 4; }  // the last row may lack its padding
  std::int64_t end() const { return offset + stride() * (height - 1) + row_bytes(); }
};

BmpHeader read_bmp_header(StbBytes bytes, const std::string& name) {
  check_length(bytes, name, "BMP", 26);
  BmpHeader header{.offset = little_endian_32(bytes, 10), .size = little_endian_32(bytes, 14)};
  const bool old = header.size == 12;  // OS/2's
  if (!old) check_length(bytes, name, "BMP", 14 + 40);
  header.width = old ? little_endian_16(bytes, 18) : little_endian_32(bytes, 18);
  header.height =
      std::abs(old ? little_endian_16(bytes, 20) : little_endian_32(bytes, 22));  // < 0: top first
  header.bits = little_endian_16(bytes, old ? 24 : 28);
  check(header.offset >= 14 + header.size && header.size >= 12,
        "{}: damaged BMP image: pixels at byte {}, after a header of {}", name, header.offset, header.size);
  const std::initializer_list<std::int64_t> depths = {1, 4, 8, 16, 24, 32};
  check(std::find(depths.begin(), depths.end(), header.bits) != depths.end() && !(old && header.bits < 24),
        "{}: a BMP image of {} bits a pixel{}, which is not read; convert it", name, header.bits,
        old ? " in OS/2's format" : "");
  return header;
}

// Colours beyond the end of the palette.
void check_palette(StbBytes bytes, const BmpHeader& header, const std::string& name) {
  const std::int64_t colours = (header.offset - 14 - header.size) / 4;
  if (header.bits > 8 || colours >= std::int64_t{1} << header.bits) return;
  const std::int64_t mask = (1 << header.bits) - 1;
  for (std::int64_t y = 0; y < header.height; ++y) {
    const StbBytes row = bytes.subspan(static_cast<std::size_t>(header.offset + y * header.stride()));
    for (std::int64_t x = 0; x < header.width; ++x) {
      const std::int64_t bit = x * header.bits;
      const std::int64_t colour =
          row[static_cast<std::size_t>(bit / 8)] >> (8 - header.bits - bit % 8) & mask;
      check(colour < colours, "{}: damaged BMP image: colour {} of a palette of {}", name, colour, colours);
    }
  }
}

struct TgaHeader {
  std::int64_t start = 0;  // of the pixels in the file
  std::int64_t width = 0, height = 0, bits = 0, palette_bits = 0;
  bool packed = false;  // run-length encoded

  // An image ends no earlier: a packet holds at most 128 pixels, in a byte and at least one pixel.
  std::int64_t end() const {
    const std::int64_t pixel = (bits + 7) / 8, count = width * height;
    return start + (packed ? (count + 127) / 128 * (1 + pixel) : count * pixel);
  }
};

TgaHeader read_tga_header(StbBytes bytes, const std::string& name) {
  const std::int64_t first_colour = little_endian_16(bytes, 3), colours = little_endian_16(bytes, 5);
  const bool palette = bytes[1] == 1;
  check(!palette || first_colour == 0,
        "{}: a TGA image whose palette starts at colour {}, which is not read; convert it", name,
        first_colour);
  check((bytes[17] & 0x10) == 0, "{}: a TGA image from right to left, which is not read; convert it", name);
  TgaHeader header{.start = 18 + bytes[0],
                   .width = little_endian_16(bytes, 12),
                   .height = little_endian_16(bytes, 14),
                   .bits = bytes[16],
                   .palette_bits = palette ? bytes[7] : 0,
                   .packed = bytes[2] >= 8};
  header.start += colours * ((header.palette_bits + 7) / 8);
  return header;
}

}  // namespace

Pixels decode_bmp(StbBytes bytes, const std::string& name, std::int64_t most) {
  const BmpHeader header = read_bmp_header(bytes, name);
  Pixels pixels;
  pixels.set_size(name, {header.height, header.width}, 3, most);
  check_length(bytes, name, "BMP", header.end());
  check_palette(bytes, header, name);
  return decode_with_stb(bytes, name, "BMP", std::move(pixels));
}

bool looks_like_tga(StbBytes bytes) {
  if (bytes.size() < 18) return false;
  const int kind = bytes[2], bits = bytes[16], palette_bits = bytes[7];
  const auto among = [](int value, std::initializer_list<int> values) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  return (bytes[1] == 1
              ? among(kind, {1, 9}) && among(palette_bits, {8, 15, 16, 24, 32}) && among(bits, {8, 16})
              : bytes[1] == 0 && among(kind, {2, 3, 10, 11}) && among(bits, {8, 15, 16, 24, 32})) &&
         (bytes[17] & 0xC0) == 0;
}

Pixels decode_tga(StbBytes bytes, const std::string& name, std::int64_t most) {
  const TgaHeader header = read_tga_header(bytes, name);
  const bool grey_with_alpha = header.bits == 16 && (bytes[2] == 3 || bytes[2] == 11);
  const std::int64_t colour_bits = header.palette_bits > 0 ? header.palette_bits : header.bits;
  Pixels pixels;
  pixels.set_size(name, {header.height, header.width}, colour_bits == 8 || grey_with_alpha ? 1 : 3, most);
  check_length(bytes, name, "TGA", header.end());
  return decode_with_stb(bytes, name, "TGA", std::move(pixels));
}

}  // namespace lamina::data
