// Small data sets on disk for the tests, and ways to break them.
#pragma once

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include "catch.h"
#include "core/base/error.h"
#include "core/tensor.h"
#include "data/dataset.h"

namespace lamina::tests {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "lamina-test-XXXXXX").string();
    if (!mkdtemp(name.data())) fail("mkdtemp: {} cannot be made", name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

// Sets a variable of the environment, or removes it if `value` is empty, and puts the old value back.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (old) old_ = old;
    set(value.empty() ? nullptr : value.c_str());
  }
  ~Environment() { set(had_ ? old_.c_str() : nullptr); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  void set(const char* value) {
    if (value) {
      setenv(name_, value, 1);
    } else {
      unsetenv(name_);
    }
  }
  const char* name_;
  std::string old_;
  bool had_ = false;
};

inline void write_file(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}
inline void write_file(const fs::path& path, const std::string& text) {
  write_file(path, Bytes(text.begin(), text.end()));
}
inline Bytes read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// Runs `f`, which must throw an Error whose message has all of these parts.
template <typename F>
void check_error(F f, std::initializer_list<std::string> parts) {
  std::string message = "(no error)";
  try {
    f();
  } catch (const Error& error) {
    message = error.what();
  }
  INFO(message);
  for (const std::string& part : parts) {
    INFO("expected in it: " << part);
    CHECK(message.find(part) != std::string::npos);
  }
}

// Options that keep quiet and write no cache; notes are collected where asked for.
inline data::OpenOptions quiet(std::vector<std::string>* notes = nullptr) {
  data::OpenOptions options;
  options.cache = false;
  options.notify = [notes](const std::string& line) {
    if (notes) notes->push_back(line);
  };
  return options;
}

inline void append_big_endian(Bytes& bytes, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

// An IDX file of unsigned bytes.
inline Bytes idx_file(const std::vector<std::uint32_t>& extents, const Bytes& data) {
  Bytes file = {0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t extent : extents) append_big_endian(file, extent);
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

inline void write_gz(const fs::path& path, const Bytes& bytes) {
  gzFile file = gzopen(path.string().c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

// A PNG file: `rows` holds, per row, a filter byte 0 and the packed samples.
struct Png {
  std::uint32_t width = 0, height = 0;
  std::uint8_t depth = 8, colour_type = 2;  // 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha
  Bytes rows;
  Bytes palette = {};
};

inline void append_png_chunk(Bytes& file, const std::string& type, const Bytes& data) {
  append_big_endian(file, static_cast<std::uint32_t>(data.size()));
  Bytes body(type.begin(), type.end());
  body.insert(body.end(), data.begin(), data.end());
  file.insert(file.end(), body.begin(), body.end());
  append_big_endian(file, static_cast<std::uint32_t>(crc32(0, body.data(), static_cast<uInt>(body.size()))));
}

inline Bytes zlib_packed(const Bytes& bytes) {
  Bytes packed(compressBound(bytes.size()));
  uLongf size = packed.size();
  compress(packed.data(), &size, bytes.data(), bytes.size());
  packed.resize(size);
  return packed;
}

inline Bytes png_file(const Png& png) {
  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  Bytes header;
  append_big_endian(header, png.width);
  append_big_endian(header, png.height);
  for (const std::uint8_t byte :
       {png.depth, png.colour_type, std::uint8_t{0}, std::uint8_t{0}, std::uint8_t{0}})
    header.push_back(byte);
  append_png_chunk(file, "IHDR", header);
  if (!png.palette.empty()) append_png_chunk(file, "PLTE", png.palette);
  append_png_chunk(file, "IDAT", zlib_packed(png.rows));
  append_png_chunk(file, "IEND", {});
  return file;
}

// An RGB image of one colour.
inline Bytes plain_png(std::uint32_t width, std::uint32_t height, std::uint8_t r, std::uint8_t g,
                       std::uint8_t b) {
  Bytes rows;
  for (std::uint32_t y = 0; y < height; ++y) {
    rows.push_back(0);
    for (std::uint32_t x = 0; x < 3 * width; ++x) rows.push_back(x % 3 == 0 ? r : x % 3 == 1 ? g : b);
  }
  return png_file({.width = width, .height = height, .rows = rows});
}

inline std::uint32_t crc_of(const Tensor& image) {
  return static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(image.raw()), static_cast<uInt>(image.bytes())));
}

}  // namespace lamina::tests
