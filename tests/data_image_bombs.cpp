// Small image files that would cost much memory or time, and kinds that are not read: refused with the
// reason.
#include "core/base/available_memory.h"
#include "data/images/image.h"
#include "data_files.h"
#include "data_reference_images.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

Bytes reference_jpeg(std::size_t index) {
  Bytes bytes;
  const std::string hex = reference_images[index].hex;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Where the bytes stand first.
std::ptrdiff_t first(const Bytes& bytes, const Bytes& wanted) {
  return std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end()) - bytes.begin();
}

constexpr std::ptrdiff_t png_header_end = 8 + 12 + 13;

}  // namespace

TEST_CASE("a PNG's texts and profiles are passed over, not unpacked", "[data][image]") {
  constexpr std::size_t megabyte = std::size_t{1} << 20, texts = 128;
  Bytes text = {'k', 0, 0};
  const Bytes packed = zlib_packed(Bytes(megabyte, 'a'));
  text.insert(text.end(), packed.begin(), packed.end());
  Bytes chunks;
  for (std::size_t i = 0; i < texts; ++i) append_png_chunk(chunks, "zTXt", text);
  Bytes file = plain_png(4, 4, 1, 2, 3);
  file.insert(file.begin() + png_header_end, chunks.begin(), chunks.end());
  const std::size_t before = peak_resident_memory();
  CHECK(data::decode_image(file, "bomb").shape() == Shape{4, 4, 3});
  CHECK(peak_resident_memory() - before < 64 * megabyte);
}

TEST_CASE("a PNG may lack its end, but no pixels", "[data][image]") {
  const Bytes whole = plain_png(9, 9, 1, 2, 3);
  const auto decode = [&](std::ptrdiff_t left_out) {
    return data::decode_image(Bytes(whole.begin(), whole.end() - left_out), "cut");
  };
  const Bytes pixels = decode(0).to_vector<std::uint8_t>();
  for (const std::ptrdiff_t left_out : {1, 4, 11, 12}) {
    INFO(left_out);
    CHECK(decode(left_out).to_vector<std::uint8_t>() == pixels);
  }
  for (const std::ptrdiff_t left_out : {13, 16, 20, 30}) {
    INFO(left_out);
    check_error([&] { decode(left_out); }, {"cut", "truncated PNG"});
  }
}

TEST_CASE("the limit of pixels is told as what it is", "[data][image]") {
  const Bytes file = plain_png(4, 4, 1, 2, 3);
  CHECK(data::decode_image(file, "small", 3, 16).elements() == 48);
  CHECK_THROWS_AS(data::decode_image(file, "small", 3, 15), data::TooManyPixels);
  check_error([&] { data::decode_image(file, "small", 3, 15); },
              {"small", "4×4", "more than 15 are refused", "max_pixels"});
  // libpng's own limit is a million columns.
  check_error(
      [] { data::decode_image(png_file({.width = 3000000, .height = 3000000, .rows = {0}}), "wide"); },
      {"wide", "3000000×3000000", "refused"});
  Bytes row(1 + 3 * 1000001, 7);
  row[0] = 0;
  CHECK(data::decode_image(png_file({.width = 1000001, .height = 1, .rows = row}), "wide").size(1) ==
        1000001);
}

TEST_CASE("a PNG too short for its pixels costs no memory", "[data][image]") {
  const std::size_t before = peak_resident_memory();
  check_error([] { data::decode_image(png_file({.width = 8000, .height = 8000, .rows = {0}}), "short"); },
              {"short", "truncated PNG", "8000×8000"});
  CHECK(peak_resident_memory() - before < (std::size_t{64} << 20));
}

TEST_CASE("a JPEG with hundreds of scans is refused", "[data][image]") {
  const Bytes progressive = reference_jpeg(2);
  const auto scan = progressive.begin() + first(progressive, {0xFF, 0xDA});
  const Bytes after(scan + 2, progressive.end());
  const auto end = scan + 2 + std::min(first(after, {0xFF, 0xC4}), first(after, {0xFF, 0xDA}));
  for (const int more : {10, 200}) {
    Bytes file(progressive.begin(), scan);
    for (int i = 0; i < more; ++i) file.insert(file.end(), scan, end);
    file.insert(file.end(), scan, progressive.end());
    if (more == 10) {
      CHECK_NOTHROW(data::decode_image(file, "scans"));
    } else {
      check_error([&] { data::decode_image(file, "scans"); }, {"scans", "more than 100 scans"});
    }
  }
}

TEST_CASE("kinds of JPEG that are not read are called that, not damaged", "[data][image]") {
  Bytes file = reference_jpeg(0);
  file[static_cast<std::size_t>(first(file, {0xFF, 0xC0})) + 1] = 0xC3;  // the marker of lossless coding
  check_error([&] { data::decode_image(file, "lossless"); },
              {"lossless", "a kind that is not read", "convert it"});
}
