// What the decoders of image.h make of a file's bytes: pixels as they are stored, before conversion.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "data/images/image.h"

namespace lamina::data {

// 1 luminance, 3 RGB, or 4 CMYK as Adobe stores it (inverted).
struct Pixels {
  std::int64_t height = 0, width = 0;
  int components = 0;
  std::vector<std::uint8_t> data;

  std::size_t row_bytes() const { return static_cast<std::size_t>(width * components); }
  // To be called as soon as the size is known. Throws Error for an image that is refused because of it.
  void set_size(const std::string& name, std::int64_t rows, std::int64_t columns, int per_pixel) {
    check(rows > 0 && columns > 0, "{}: damaged image: {}×{} pixels", name, columns, rows);
    check(rows <= max_pixels && columns <= max_pixels && rows * columns <= max_pixels,
          "{}: {}×{} pixels; images of more than {} are refused", name, columns, rows, max_pixels);
    height = rows, width = columns, components = per_pixel;
  }
  void allocate() { data.resize(static_cast<std::size_t>(height) * row_bytes()); }
};

// Each throws Error naming the file, also for one that ends too early; memory is asked for when the file is
// known to be long enough.
Pixels decode_bmp(std::span<const std::uint8_t> bytes, const std::string& name);
Pixels decode_tga(std::span<const std::uint8_t> bytes, const std::string& name);
Pixels decode_pnm(std::span<const std::uint8_t> bytes, const std::string& name);  // P5 and P6

// A Targa file has no magic number: whether this may be the header of one.
bool looks_like_tga(std::span<const std::uint8_t> bytes);

}  // namespace lamina::data
