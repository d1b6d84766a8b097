// PGM and PPM images, P5 and P6 (netpbm's pgm(5) and ppm(5)). They are read here, not by stb, which takes 16
// bits for little-endian and passes over the maximum value.
#include <cmath>

#include "data/images/pixels.h"

namespace lamina::data {

namespace {

// The fields of a header, one after another.
class PnmHeader {
 public:
  PnmHeader(std::span<const std::uint8_t> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  // The number that comes next, after spaces and comments.
  std::int64_t number(const char* what) {
    while (is_space() || is_comment()) {
      if (is_comment()) {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      } else {
        ++at_;
      }
    }
    constexpr std::int64_t most = 999'999'999;
    const std::size_t first = at_;
    std::int64_t value = 0;
    for (; at_ < bytes_.size() && bytes_[at_] >= '0' && bytes_[at_] <= '9' && value <= most; ++at_)
      value = 10 * value + (bytes_[at_] - '0');
    check(at_ > first && value <= most, "{}: damaged or truncated PNM image: no {} in its header", name_,
          what);
    return value;
  }
  // What follows the one space after the last number.
  std::span<const std::uint8_t> rest() const {
    check(is_space(), "{}: damaged or truncated PNM image: its header has no end", name_);
    return bytes_.subspan(at_ + 1);
  }

 private:
  bool is_space() const {
    return at_ < bytes_.size() && (bytes_[at_] == ' ' || (bytes_[at_] >= '\t' && bytes_[at_] <= '\r'));
  }
  bool is_comment() const { return at_ < bytes_.size() && bytes_[at_] == '#'; }

  std::span<const std::uint8_t> bytes_;
  const std::string& name_;
  std::size_t at_ = 2;  // after the magic number
};

}  // namespace

Pixels decode_pnm(std::span<const std::uint8_t> bytes, const std::string& name, std::int64_t most) {
  PnmHeader header(bytes, name);
  const std::int64_t width = header.number("width"), height = header.number("height");
  const std::int64_t maximum = header.number("maximum value");
  const std::span<const std::uint8_t> samples = header.rest();
  Pixels pixels;
  pixels.set_size(name, {height, width}, bytes[1] == '6' ? 3 : 1, most);
  check(maximum >= 1 && maximum <= 65535, "{}: damaged PNM image: a maximum value of {}; expected 1 to 65535",
        name, maximum);
  const std::size_t size = maximum > 255 ? 2 : 1;
  const std::size_t needed = static_cast<std::size_t>(height) * pixels.row_bytes() * size;
  check(samples.size() >= needed, "{}: truncated PNM image: {} bytes of pixels; expected {}", name,
        samples.size(), needed);
  pixels.allocate();
  for (std::size_t i = 0; i < pixels.data.size(); ++i) {
    const int value = size == 1 ? samples[i] : 256 * samples[2 * i] + samples[2 * i + 1];  // big-endian
    // Halves to even, in this order of operations, as in Pillow.
    const double scaled = maximum == 255 ? value : std::nearbyint(value / static_cast<double>(maximum) * 255);
    pixels.data[i] = static_cast<std::uint8_t>(std::min(scaled, 255.0));
  }
  return pixels;
}

}  // namespace lamina::data
