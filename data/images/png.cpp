// PNG images by libpng.
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstring>

#include "data/images/pixels.h"

namespace lamina::data {

namespace {

using PngBytes = std::span<const std::uint8_t>;

// libpng reports errors through a callback that must not return. It jumps back to the setjmp of the member
// function running, whose frame, and those of the library, hold nothing with a destructor.
class PngDecoder {
 public:
  explicit PngDecoder(PngBytes bytes) : bytes_(bytes) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) return false;
    png_set_read_fn(png_, this, on_read);
    // Else libpng would unpack texts and profiles that nobody looks at: 6 GB from 6 MB.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller's limit is told as what it is
    png_read_info(png_, info_);
    return true;
  }
  bool read_rows(std::uint8_t* data, std::size_t row_bytes) {
    if (setjmp(jump_) != 0) return false;
    png_set_expand(png_);  // palette to RGB, 1, 2 and 4 bits to 8
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    for (int pass = 0; pass < passes; ++pass) {
      for (png_uint_32 y = 0; y < height(); ++y) png_read_row(png_, data + y * row_bytes, nullptr);
    }
    return true;
  }
  // The checksums of the pixels, and what follows them; that may be missing, as it may for Pillow.
  bool read_end() {
    if (setjmp(jump_) != 0) return ends_behind_pixels_;
    png_read_end(png_, nullptr);
    return true;
  }
  png_uint_32 height() const { return png_get_image_height(png_, info_); }
  png_uint_32 width() const { return png_get_image_width(png_, info_); }
  int channels() const { return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1; }
  // deflate packs at most 1032 bytes into one.
  bool may_hold_its_pixels() const {
    return static_cast<double>(png_get_rowbytes(png_, info_)) * height() <=
           1032.0 * static_cast<double>(bytes_.size());
  }
  const char* message() const { return message_.data(); }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self.message_.data(), message, self.message_.size() - 1);
    std::longjmp(self.jump_, 1);
  }
  static void on_read(png_structp png, png_bytep out, std::size_t count) {
    auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (count > self.bytes_.size()) {
      constexpr png_uint_32 pixel_data = 0x49444154;  // "IDAT"
      self.ends_behind_pixels_ =
          (png_get_io_state(png) & PNG_IO_CHUNK_HDR) != 0 || png_get_io_chunk_type(png) != pixel_data;
      png_error(png, "the file ends too early");
    }
    std::memcpy(out, self.bytes_.data(), count);
    self.bytes_ = self.bytes_.subspan(count);
  }

  PngBytes bytes_;  // not yet read
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  bool ends_behind_pixels_ = false;
  std::jmp_buf jump_{};
  std::array<char, 200> message_{};
};

}  // namespace

Pixels decode_png(PngBytes bytes, const std::string& name, std::int64_t most) {
  PngDecoder decoder(bytes);
  check(decoder.read_header(), "{}: damaged PNG image: {}", name, decoder.message());
  Pixels pixels;
  pixels.set_size(name, {decoder.height(), decoder.width()}, decoder.channels(), most);
  check(decoder.may_hold_its_pixels(), "{}: damaged or truncated PNG image: {} bytes for {}×{} pixels", name,
        bytes.size(), pixels.width, pixels.height);
  pixels.allocate();
  check(decoder.read_rows(pixels.data.data(), pixels.row_bytes()) && decoder.read_end(),
        "{}: damaged or truncated PNG image: {}", name, decoder.message());
  return pixels;
}

}  // namespace lamina::data
