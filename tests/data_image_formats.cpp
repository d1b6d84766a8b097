// BMP, TGA and PNM images: Pillow's pixels, files that end too early, damage, and what is not read.
#include "core/random.h"
#include "data/images/image.h"
#include "data/sets/folder.h"
#include "data_files.h"
#include "data_reference_images.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

Bytes bytes_of(const ReferenceFile& reference) {
  Bytes bytes;
  const std::string hex = reference.hex;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

Bytes reference_bytes(const std::string& name) {
  for (const ReferenceFile& reference : reference_files)
    if (reference.name == name) return bytes_of(reference);
  throw Error("no reference file " + name);
}

Tensor decoded(const Bytes& bytes, const std::string& name) { return data::decode_image(bytes, name); }

// Changed at one place.
Bytes with(Bytes bytes, std::size_t at, const Bytes& values) {
  std::copy(values.begin(), values.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  return bytes;
}

// The error for it, or what came of it.
std::string outcome(const Bytes& bytes, const std::string& name) {
  try {
    return decoded(bytes, name).str();
  } catch (const Error& error) {
    return error.what();
  }
}

void check_outcome(const Bytes& bytes, const std::string& name, std::initializer_list<const char*> parts) {
  const std::string text = outcome(bytes, name);
  INFO(text);
  for (const char* part : parts) CHECK(text.find(part) != std::string::npos);
}

Bytes text(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

TEST_CASE("BMP, TGA and PNM images decode to the pixels that Pillow makes of them", "[data][image]") {
  for (const ReferenceFile& reference : reference_files) {
    INFO(reference.name);
    const Tensor rgb = data::decode_image(bytes_of(reference), reference.name, 3);
    CHECK(rgb.shape() == Shape{3, 5, 3});
    CHECK(crc_of(rgb) == reference.rgb);
    const Tensor luminance = data::decode_image(bytes_of(reference), reference.name, 1);
    CHECK(luminance.shape() == Shape{3, 5, 1});
    CHECK(crc_of(luminance) == reference.luminance);
  }
}

TEST_CASE("files that end too early are refused, or were whole without their end", "[data][image]") {
  for (const ReferenceFile& reference : reference_files) {
    const Bytes whole = bytes_of(reference);
    std::size_t shortest = whole.size();
    for (std::size_t size = whole.size(); size-- > 0;) {
      INFO(reference.name << ", " << size << " of " << whole.size() << " bytes");
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        const Tensor image = decoded(part, reference.name);
        CHECK(crc_of(image) == reference.rgb);
        CHECK(shortest == size + 1);
        shortest = size;
      } catch (const Error& error) {
        CHECK(std::string(error.what()).starts_with(reference.name));
      }
    }
    // A BMP may lack the padding of its last row, at most three bytes; a TGA its footer of 26.
    INFO(reference.name);
    const std::string ending = std::string(reference.name).substr(std::string(reference.name).size() - 4);
    CHECK(whole.size() - shortest <= (ending == ".bmp" ? 3u : ending == ".tga" ? 26u : 0u));
  }
}

TEST_CASE("damaged files end in an error or an image, and in no more memory than they account for",
          "[data][image]") {
  const Random random{.seed = 1};
  std::uint32_t draw = 0;
  int images = 0, errors = 0;
  for (const ReferenceFile& reference : reference_files) {
    const Bytes whole = bytes_of(reference);
    for (int round = 0; round < 400; ++round) {
      Bytes bytes = whole;
      for (std::uint32_t flips = 1 + random.below(draw++, 4); flips > 0; --flips) {
        // Mostly in the header.
        const auto most = static_cast<std::uint32_t>(random.below(draw++, 3) > 0 ? 60 : bytes.size());
        const std::size_t at =
            random.below(draw++, std::min<std::uint32_t>(most, std::uint32_t(bytes.size())));
        bytes[at] = static_cast<std::uint8_t>(random.bits(draw++));
      }
      try {
        const Tensor image = decoded(bytes, reference.name);
        CHECK(image.elements() <= 128 * 3 * std::ssize(bytes) * 8);  // a packed pixel, a bit a pixel
        ++images;
      } catch (const Error&) {
        ++errors;
      }
    }
  }
  CHECK(images > 1000);
  CHECK(errors > 1000);
}

TEST_CASE("images that are too large are refused before their pixels are looked for", "[data][image]") {
  const Bytes large = {0, 0x60, 0, 0, 0, 0x60, 0, 0};  // 24576×24576
  check_outcome(with(reference_bytes("24.bmp"), 18, large), "a.bmp", {"a.bmp", "24576×24576", "refused"});
  check_outcome(with(reference_bytes("24rle.tga"), 12, {0xff, 0xff, 0xff, 0xff}), "a.tga",
                {"a.tga", "65535×65535", "refused"});
  check_outcome(text("P6 99999 99999 255\n"), "a.ppm", {"a.ppm", "99999×99999", "refused"});
  check_outcome(text("P5 1 99999999999999999999 255\n"), "a.pgm", {"a.pgm", "no height"});
  // Below the limit, but not in the file.
  const Bytes fits = {0, 0x10, 0, 0, 0, 0x10, 0, 0};  // 4096×4096
  check_outcome(with(reference_bytes("24.bmp"), 18, fits), "a.bmp", {"a.bmp", "truncated", "50331702"});
  check_outcome(with(reference_bytes("24rle.tga"), 12, {0, 0x10, 0, 0x10}), "a.tga", {"truncated", "524306"});
  check_outcome(text("P6 4096 4096 255\nabc"), "a.ppm", {"truncated", "3 bytes", "50331648"});
}

TEST_CASE("what would be decoded wrongly is refused", "[data][image]") {
  const Bytes bmp = reference_bytes("24.bmp"), few = reference_bytes("few.bmp");
  check_outcome(with(few, few.size() - 8, {7}), "a.bmp", {"a.bmp", "colour 7 of a palette of 3"});
  check_outcome(with(bmp, 28, {12}), "a.bmp", {"12 bits a pixel"});
  check_outcome(with(bmp, 30, {1}), "a.bmp", {"a.bmp", "not read", "RLE"});
  check_outcome(with(bmp, 10, {20}), "a.bmp", {"pixels at byte 20"});
  check_outcome(with(bmp, 18, {0, 0, 0, 0}), "a.bmp", {"0×3"});
  check_outcome(with(bmp, 22, {0, 0, 0, 0x80}), "a.bmp", {"5×2147483648"});
  const Bytes top_first = with(bmp, 22, {0xfd, 0xff, 0xff, 0xff});
  CHECK(crc_of(decoded(top_first, "a.bmp").rows(0, 1)) == crc_of(decoded(bmp, "a.bmp").rows(2, 1)));
  const Bytes tga = reference_bytes("palette.tga");
  check_outcome(with(tga, 3, {1}), "a.tga", {"a.tga", "starts at colour 1"});
  check_outcome(with(tga, 17, {0x10}), "a.tga", {"a.tga", "right to left"});
  check_outcome(text("P6 1 1 70000\nabcdef"), "a.ppm", {"70000", "1 to 65535"});
  check_outcome(text("P6 1 1 0\nabcdef"), "a.ppm", {"maximum value of 0"});
  check_outcome(text("P6 1 x 255\nabc"), "a.ppm", {"no height"});
  check_outcome(text("P6 1 1 255"), "a.ppm", {"no end"});
  check_outcome(text("P3 1 1 255 1 2 3"), "a.ppm", {"neither a JPEG", "PNM (P5, P6)"});
}

TEST_CASE("a TGA image is known by its name and a plausible header", "[data][image]") {
  const Bytes tga = reference_bytes("24.tga");
  CHECK(decoded(tga, "A.TGA").shape() == Shape{3, 5, 3});
  check_outcome(tga, "a.jpg", {"a.jpg", "neither a JPEG", "named .tga"});
  check_outcome(text("this is no image at all, though it is named so"), "a.tga", {"a.tga", "neither a JPEG"});
  for (const char* name : {"24.bmp", "p6.ppm"})  // the content comes first
    CHECK(crc_of(decoded(reference_bytes(name), "a.tga")) == crc_of(decoded(reference_bytes(name), name)));
  CHECK(decoded(plain_png(2, 2, 7, 8, 9), "a.tga").shape() == Shape{2, 2, 3});
}

TEST_CASE("a folder may hold images of every kind, and its cache notices a change of any", "[data][folder]") {
  const TemporaryDirectory directory;
  const Environment cache("XDG_CACHE_HOME", directory / "cache");
  const fs::path images = directory / "images";
  for (const char* name : {"24.bmp", "24rle.tga", "p6.ppm"})
    write_file(images / "train/a" / name, reference_bytes(name));
  write_file(images / "train/b/x.PNG", plain_png(5, 3, 1, 2, 3));
  write_file(images / "test/b/x.pgm", reference_bytes("p5.pgm"));
  std::vector<std::string> notes;
  data::OpenOptions options = quiet(&notes);
  options.cache = true;
  const data::Dataset first = data::folder(images, options);
  CHECK(first.train.images.shape() == Shape{4, 3, 5, 3});
  for (int i = 1; i < 3; ++i)
    CHECK(crc_of(first.train.get(i).image.clone()) == crc_of(first.train.get(0).image.clone()));
  notes.clear();
  CHECK(crc_of(data::folder(images, options).train.images) == crc_of(first.train.images));
  CHECK(notes.empty());

  Bytes other = reference_bytes("24rle.tga");
  other[18 + 1] ^= 0xff;  // of the first pixel
  write_file(images / "train/a/24rle.tga", other);
  fs::last_write_time(images / "train/a/24rle.tga", fs::file_time_type::clock::now() + std::chrono::hours(1));
  const data::Dataset second = data::folder(images, options);
  CHECK(notes.size() == 1);
  CHECK(crc_of(second.train.get(1).image.clone()) != crc_of(first.train.get(1).image.clone()));
}
