// What the decoders of image.h make of a file's bytes: pixels as they are stored, before conversion.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "data/images/image.h"

namespace lamina::data {

struct ImageSize {
  std::int64_t rows = 0, columns = 0;
};

// 1 luminance, 3 RGB, or 4 CMYK as Adobe stores it (inverted).
struct Pixels {
  std::int64_t height = 0, width = 0;
  int components = 0;
  std::vector<std::uint8_t> data;

  std::size_t row_bytes() const { return static_cast<std::size_t>(width * components); }
  // To be called as soon as the size is known. Throws Error for an image that is refused because of it.
  void set_size(const std::string& name, ImageSize size, int per_pixel, std::int64_t most) {
    const auto [rows, columns] = size;
    check(rows > 0 && columns > 0, "{}: damaged image: {}×{} pixels", name, columns, rows);
    if (rows > most || columns > most || rows * columns > most) {
      throw TooManyPixels(message(
          "{}: {}×{} pixels; images of more than {} are refused. If it is what it says, and there is memory "
          "for it, raise {}",
          name, columns, rows, most, option_name("max_pixels")));
    }
    height = rows, width = columns, components = per_pixel;
  }
  void allocate() { data.resize(static_cast<std::size_t>(height) * row_bytes()); }
};

// Each throws Error naming the file, also for one that ends too early, and TooManyPixels if there are more
// than `most`; memory is asked for when the file is known to be long enough, as far as it can be known.
Pixels decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t most);
Pixels decode_png(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t most);
Pixels decode_bmp(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t most);
Pixels decode_tga(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t most);
Pixels decode_pnm(std::span<const std::uint8_t> bytes, const std::string& name,
                  std::int64_t most);  // P5 and P6

// A Targa file has no magic number: whether this may be the header of one.
bool looks_like_tga(std::span<const std::uint8_t> bytes);

}  // namespace lamina::data
