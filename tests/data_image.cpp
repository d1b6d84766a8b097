// JPEG and PNG decoding, and resizing, against pixels made by Pillow.
#include "data/images/image.h"

#include "data_files.h"
#include "data_reference_images.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

Bytes from_hex(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Bytes pixels(const Bytes& file, int channels = 3) {
  return data::decode_image(file, "test image", channels).to_vector<std::uint8_t>();
}

}  // namespace

TEST_CASE("JPEG images decode to the pixels that Pillow makes of them", "[data][image]") {
  for (const ReferenceImage& reference : reference_images) {
    INFO(reference.name);
    const Bytes file = from_hex(reference.hex);
    const Tensor rgb = data::decode_image(file, reference.name, 3);
    CHECK(rgb.shape() == Shape{13, 19, 3});
    CHECK(crc_of(rgb) == reference.rgb);
    const Tensor luminance = data::decode_image(file, reference.name, 1);
    CHECK(luminance.shape() == Shape{13, 19, 1});
    CHECK(crc_of(luminance) == reference.luminance);
    const Tensor resized = data::resize_image(rgb, 7);
    CHECK(resized.shape() == Shape{7, 7, 3});
    CHECK(crc_of(resized) == reference.resized);
  }
}

TEST_CASE("every kind of PNG becomes 8-bit RGB", "[data][image]") {
  CHECK(pixels(png_file({.width = 2, .height = 1, .rows = {0, 1, 2, 3, 250, 251, 252}})) ==
        Bytes{1, 2, 3, 250, 251, 252});
  SECTION("alpha is dropped") {
    CHECK(pixels(png_file({.width = 1, .height = 1, .colour_type = 6, .rows = {0, 10, 20, 30, 0}})) ==
          Bytes{10, 20, 30});
    CHECK(pixels(png_file({.width = 1, .height = 1, .colour_type = 4, .rows = {0, 77, 5}})) ==
          Bytes{77, 77, 77});
  }
  SECTION("16 bits keep the high byte") {
    CHECK(pixels(png_file(
              {.width = 1, .height = 1, .depth = 16, .rows = {0, 0x12, 0xff, 0x80, 0x00, 0xfe, 0x7f}})) ==
          Bytes{0x12, 0x80, 0xfe});
  }
  SECTION("palette") {
    CHECK(pixels(png_file({.width = 2,
                           .height = 1,
                           .depth = 1,
                           .colour_type = 3,
                           .rows = {0, 0x40},
                           .palette = {9, 8, 7, 6, 5, 4}})) == Bytes{9, 8, 7, 6, 5, 4});
  }
  SECTION("grey, and two bits of it") {
    CHECK(pixels(png_file({.width = 1, .height = 2, .colour_type = 0, .rows = {0, 3, 0, 200}})) ==
          Bytes{3, 3, 3, 200, 200, 200});
    CHECK(pixels(png_file({.width = 4, .height = 1, .depth = 2, .colour_type = 0, .rows = {0, 0x1b}}), 1) ==
          Bytes{0, 85, 170, 255});
  }
}

TEST_CASE("broken and foreign image files are refused", "[data][image]") {
  const auto decode = [](const Bytes& file) { return [file] { pixels(file); }; };
  check_error(decode({}), {"test image", "empty"});
  check_error(decode({'G', 'I', 'F', '8', '9', 'a'}), {"test image", "neither a JPEG nor a PNG", "0x47"});
  check_error(decode(png_file({.width = 60000, .height = 60000, .rows = {0}})), {"60000×60000", "refused"});

  SECTION("no truncated file decodes") {
    Bytes png = plain_png(9, 9, 1, 2, 3);
    Bytes jpeg = from_hex(reference_images[0].hex);
    Bytes progressive = from_hex(reference_images[2].hex);
    for (Bytes* file : {&png, &jpeg, &progressive}) {
      int decoded = 0;
      for (std::size_t size = 0; size < file->size(); ++size) {
        try {
          pixels(Bytes(file->begin(), file->begin() + static_cast<std::ptrdiff_t>(size)));
          ++decoded;
        } catch (const Error&) {  // as it should
        }
      }
      CHECK(decoded == (file == &png ? 12 : 0));  // all but a PNG's last chunk is needed, as by Pillow
      CHECK_NOTHROW(pixels(*file));
    }
  }
  SECTION("a wrong checksum") {
    Bytes png = plain_png(9, 9, 1, 2, 3);
    png[png.size() - 20] ^= 1;  // in IDAT
    check_error(decode(png), {"test image", "damaged or truncated PNG"});
  }
  SECTION("files that cannot be read") {
    const TemporaryDirectory directory;
    check_error([&] { data::decode_image(directory / "absent.png"); }, {"absent.png", "No such file"});
    check_error([&] { data::decode_image(directory.path()); }, {"is a directory"});
  }
}

TEST_CASE("the content decides what an image file is, not its name", "[data][image]") {
  const TemporaryDirectory directory;
  write_file(directory / "really.jpg", plain_png(2, 2, 7, 8, 9));
  CHECK(data::decode_image(directory / "really.jpg").to_vector<std::uint8_t>() ==
        Bytes{7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9});
}

TEST_CASE("resizing keeps plain colours and refuses nonsense", "[data][image]") {
  const Tensor image = data::decode_image(plain_png(5, 9, 10, 128, 255), "plain", 3);
  for (const int size : {1, 4, 5, 16}) {
    const Bytes resized = data::resize_image(image, size).to_vector<std::uint8_t>();
    REQUIRE(resized.size() == static_cast<std::size_t>(3 * size * size));
    for (std::size_t i = 0; i < resized.size(); i += 3) {
      CHECK(Bytes(&resized[i], &resized[i] + 3) == Bytes{10, 128, 255});
    }
  }
  check_error([&] { data::resize_image(image, 0); }, {"resize_image", "size 0"});
  check_error([&] { data::resize_image(image, data::most_image_size + 1); }, {"size 8193", "1 to 8192"});
  // 32 pixels high it would be of 72 million pixels, more than the default allows.
  const Tensor line = Tensor::zeros({1, 70'000, 3}, {.dtype = DType::u8});
  CHECK(data::resize_image(line, 8, 1000).shape() == Shape{8, 8, 3});  // the limit is for what is decoded
  check_error([&] { data::resize_image(line, 32); }, {"2240000×32", "max_pixels"});
  CHECK(data::resize_image(line, 32, 100'000'000).shape() == Shape{32, 32, 3});
}
