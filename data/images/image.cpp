#include "data/images/image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csetjmp>
#include <cstdio>  // for jpeglib.h, which uses FILE and size_t without including anything
#include <cstring>
#include <initializer_list>
#include <vector>

// After <cstdio>, and jerror.h after jpeglib.h:
#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/base/text_file.h"
#include "data/images/pixels.h"

namespace lamina::data {

namespace {

using Bytes = std::span<const std::uint8_t>;

// Both C libraries report errors through a callback that must not return. It jumps back to the setjmp of the
// member function running, whose frame, and those of the library, hold nothing with a destructor.
class JpegDecoder {
 public:
  explicit JpegDecoder(Bytes bytes) : bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) { self(info).fail_with_jump(); };
    errors_.emit_message = [](j_common_ptr info, int level) {
      // Warnings about missing data: libjpeg would fill in grey.
      const int code = info->err->msg_code;
      if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) self(info).fail_with_jump();
    };
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, bytes_.data(), bytes_.size());
    jpeg_read_header(&info_, TRUE);
    if (info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK) {
      info_.out_color_space = JCS_CMYK;
    } else if (info_.jpeg_color_space != JCS_GRAYSCALE) {
      info_.out_color_space = JCS_RGB;
    }
    jpeg_calc_output_dimensions(&info_);
    return true;
  }
  bool read_rows(std::uint8_t* data, std::size_t row_bytes) {
    if (setjmp(jump_) != 0) return false;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = data + info_.output_scanline * row_bytes;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }
  const jpeg_decompress_struct& info() const { return info_; }
  const char* message() const { return message_.data(); }

 private:
  static JpegDecoder& self(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }
  [[noreturn]] void fail_with_jump() {
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message_.data());
    std::longjmp(jump_, 1);
  }

  Bytes bytes_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf jump_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
};

class PngDecoder {
 public:
  explicit PngDecoder(Bytes bytes) : bytes_(bytes) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) return false;
    png_set_read_fn(png_, this, on_read);
    png_read_info(png_, info_);
    png_set_expand(png_);  // palette to RGB, 1, 2 and 4 bits to 8
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }
  bool read_rows(std::uint8_t* data, std::size_t row_bytes) {
    if (setjmp(jump_) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (png_uint_32 y = 0; y < height(); ++y) png_read_row(png_, data + y * row_bytes, nullptr);
    }
    png_read_end(png_, nullptr);
    return true;
  }
  png_uint_32 height() const { return png_get_image_height(png_, info_); }
  png_uint_32 width() const { return png_get_image_width(png_, info_); }
  int channels() const { return png_get_channels(png_, info_); }
  const char* message() const { return message_.data(); }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self.message_.data(), message, self.message_.size() - 1);
    std::longjmp(self.jump_, 1);
  }
  static void on_read(png_structp png, png_bytep out, std::size_t count) {
    auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (count > self.bytes_.size()) png_error(png, "the file ends too early");
    std::memcpy(out, self.bytes_.data(), count);
    self.bytes_ = self.bytes_.subspan(count);
  }

  Bytes bytes_;  // not yet read
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
  std::jmp_buf jump_{};
  std::array<char, 200> message_{};
};

Pixels decode_jpeg(Bytes bytes, const std::string& name) {
  JpegDecoder decoder(bytes);
  check(decoder.read_header(), "{}: damaged JPEG image: {}", name, decoder.message());
  Pixels pixels;
  const jpeg_decompress_struct& info = decoder.info();
  pixels.set_size(name, info.output_height, info.output_width, info.output_components);
  pixels.allocate();
  check(decoder.read_rows(pixels.data.data(), pixels.row_bytes()), "{}: damaged or truncated JPEG image: {}",
        name, decoder.message());
  return pixels;
}

Pixels decode_png(Bytes bytes, const std::string& name) {
  PngDecoder decoder(bytes);
  check(decoder.read_header(), "{}: damaged PNG image: {}", name, decoder.message());
  Pixels pixels;
  pixels.set_size(name, decoder.height(), decoder.width(), decoder.channels());
  pixels.allocate();
  check(decoder.read_rows(pixels.data.data(), pixels.row_bytes()), "{}: damaged or truncated PNG image: {}",
        name, decoder.message());
  return pixels;
}

bool starts_with(Bytes bytes, std::initializer_list<std::uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

bool named_tga(const std::string& name) {
  std::string ending = std::filesystem::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".tga";
}

Pixels decode(Bytes bytes, const std::string& name) {
  if (starts_with(bytes, {0xFF, 0xD8, 0xFF})) return decode_jpeg(bytes, name);
  if (starts_with(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'})) return decode_png(bytes, name);
  if (starts_with(bytes, {'B', 'M'})) return decode_bmp(bytes, name);
  if (starts_with(bytes, {'P', '5'}) || starts_with(bytes, {'P', '6'})) return decode_pnm(bytes, name);
  if (named_tga(name) && looks_like_tga(bytes)) return decode_tga(bytes, name);
  check(!bytes.empty(), "{}: the file is empty; expected an image", name);
  fail(
      "{}: neither a JPEG nor a PNG, BMP or PNM (P5, P6) image, nor a TGA image named .tga (its first byte "
      "is "
      "0x{:02x}); convert or remove it",
      name, bytes[0]);
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

Tensor decode_image(std::span<const std::uint8_t> bytes, const std::string& name, int channels) {
  check(channels == 1 || channels == 3, "decode_image: {} channels; expected 3 (RGB) or 1 (luminance)",
        channels);
  return convert(decode(bytes, name), channels);
}

Tensor decode_image(const std::filesystem::path& path, int channels) {
  return decode_image(read_bytes(path), printable(path.native()), channels);
}

}  // namespace lamina::data
