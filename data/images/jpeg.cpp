// JPEG images by libjpeg(-turbo).
#include <array>
#include <csetjmp>
#include <cstdio>  // for jpeglib.h, which uses FILE and size_t without including anything

// After <cstdio>, and jerror.h after jpeglib.h:
#include <jpeglib.h>

#include <jerror.h>

#include "data/images/pixels.h"

namespace lamina::data {

namespace {

using JpegBytes = std::span<const std::uint8_t>;

// Every scan of a progressive image goes over all of its pixels: some hundred bytes each would keep a core
// busy for minutes. Encoders write about ten.
constexpr int most_scans = 100;

// libjpeg reports errors through a callback that must not return. It jumps back to the setjmp of the member
// function running, whose frame, and those of the library, hold nothing with a destructor.
class JpegDecoder {
 public:
  explicit JpegDecoder(JpegBytes bytes) : bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) { self(info).fail_with_jump(); };
    errors_.emit_message = [](j_common_ptr info, int level) {
      // Warnings about missing data: libjpeg would fill in grey.
      const int code = info->err->msg_code;
      if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) self(info).fail_with_jump();
    };
    progress_.progress_monitor = [](j_common_ptr info) {
      JpegDecoder& decoder = self(info);
      if (decoder.info_.input_scan_number <= most_scans) return;
      decoder.errors_.msg_code = 0;  // of an earlier warning
      std::snprintf(decoder.message_.data(), decoder.message_.size(), "more than %d scans", most_scans);
      std::longjmp(decoder.jump_, 1);
    };
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
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
  // Whether the file may be whole, but of a kind that libjpeg does not read.
  bool is_foreign() const {
    const int code = errors_.msg_code;
    return code == JERR_SOF_UNSUPPORTED || code == JERR_ARITH_NOTIMPL || code == JERR_BAD_PRECISION ||
           code == JERR_CONVERSION_NOTIMPL || code == JERR_IMAGE_TOO_BIG;
  }

 private:
  static JpegDecoder& self(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }
  [[noreturn]] void fail_with_jump() {
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message_.data());
    std::longjmp(jump_, 1);
  }

  JpegBytes bytes_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
};

}  // namespace

Pixels decode_jpeg(JpegBytes bytes, const std::string& name, std::int64_t most) {
  JpegDecoder decoder(bytes);
  const auto fail_decoding = [&](const char* what) {
    if (decoder.is_foreign())
      fail("{}: a JPEG image of a kind that is not read: {}; convert it", name, decoder.message());
    fail("{}: {} JPEG image: {}", name, what, decoder.message());
  };
  if (!decoder.read_header()) fail_decoding("damaged");
  Pixels pixels;
  const jpeg_decompress_struct& info = decoder.info();
  pixels.set_size(name, {info.output_height, info.output_width}, info.output_components, most);
  pixels.allocate();
  if (!decoder.read_rows(pixels.data.data(), pixels.row_bytes())) fail_decoding("damaged or truncated");
  return pixels;
}

}  // namespace lamina::data
