#include "data/sets/idx.h"

#include <array>
#include <span>
#include <string>
#include <vector>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"
#include "data/sets/gz_file.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

fs::path plain_or_gz(const fs::path& path) {
  if (is_there(path)) return path;
  fs::path compressed = path.native() + ".gz";
  check(is_there(compressed), "{}: no such file, nor {}.gz", printable(path.native()),
        printable(path.filename().native()));
  return compressed;
}

std::uint32_t big_endian(const std::uint8_t* b) {
  return static_cast<std::uint32_t>(b[0]) << 24 | static_cast<std::uint32_t>(b[1]) << 16 |
         static_cast<std::uint32_t>(b[2]) << 8 | b[3];
}

// Magic number: 0, 0, element type (8: unsigned bytes), rank; then one extent per axis.
Shape read_header(GzFile& file, int rank) {
  std::array<std::uint8_t, 4 + 4 * Shape::max_rank> header{};
  const std::size_t bytes = 4 + 4 * static_cast<std::size_t>(rank);
  check(file.read(header.data(), bytes) == bytes, "{}: too short for an IDX file", file.name());
  const std::uint32_t magic = big_endian(header.data()),
                      expected = 0x0800u + static_cast<std::uint32_t>(rank);
  check(magic == expected, "{}: magic number 0x{:08x}; expected 0x{:08x} (IDX, unsigned bytes, {} axes)",
        file.name(), magic, expected, rank);
  constexpr std::int64_t most_elements = std::int64_t{1} << 33;
  Shape shape;
  std::int64_t elements = 1;
  for (int axis = 0; axis < rank; ++axis) {
    const std::int64_t extent = big_endian(&header[4 + 4 * static_cast<std::size_t>(axis)]);
    shape.append(extent);
    check(extent > 0 && elements <= most_elements / extent, "{}: impossible extents {}", file.name(),
          shape.str());
    elements *= extent;
  }
  return shape;
}

// A header may promise anything; memory grows only with what is really there, which is read no further than
// one piece beyond the promise, however much it would unpack to.
std::vector<std::uint8_t> read_rest(GzFile& file, std::int64_t expected) {
  if (static_cast<std::size_t>(expected) > available_memory())
    fail("{}: its header promises {} bytes, which is too much: {}", file.name(), expected,
         describe_available_memory());
  constexpr std::size_t chunk = 1 << 20;
  std::vector<std::uint8_t> data;
  std::size_t size = 0;
  while (static_cast<std::int64_t>(size) <= expected) {
    data.resize(size + chunk);
    const std::size_t got = file.read(data.data() + size, chunk);
    size += got;
    if (got < chunk) break;
  }
  check(static_cast<std::int64_t>(size) >= expected,
        "{}: {} bytes of data; its header promises {}: truncated", file.name(), size, expected);
  check(static_cast<std::int64_t>(size) == expected, "{}: more data than the {} bytes its header promises",
        file.name(), expected);
  data.resize(size);
  return data;
}

Split read_split(const fs::path& directory, const std::string& prefix) {
  const fs::path images_path = directory / (prefix + "-images-idx3-ubyte");
  const fs::path labels_path = directory / (prefix + "-labels-idx1-ubyte");
  const Tensor images = read_idx(images_path, 3);
  const std::vector<std::uint8_t> labels = read_idx(labels_path, 1).to_vector<std::uint8_t>();
  check(images.size(0) == static_cast<std::int64_t>(labels.size()), "{}: {} images, but {} labels in {}",
        printable(images_path.native()), images.size(0), labels.size(), labels_path.filename().string());
  Split split;
  split.images = images.view({images.size(0), images.size(1), images.size(2), 1});
  split.labels = Tensor::from(std::vector<std::int32_t>(labels.begin(), labels.end()), {images.size(0)});
  return split;
}

}  // namespace

Tensor read_idx(const fs::path& path, int rank) {
  GzFile file(plain_or_gz(path));
  const Shape shape = read_header(file, rank);
  return Tensor::from(read_rest(file, shape.elements()), shape);
}

Dataset fashion_mnist(const fs::path& directory, const OpenOptions& options) {
  Dataset dataset;
  dataset.name = "fashion-mnist";
  dataset.classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                     "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
  dataset.train = read_split(directory, "train");
  dataset.test = read_split(directory, "t10k");
  const auto labels = [&](const char* prefix) {
    return printable((directory / (std::string(prefix) + "-labels-idx1-ubyte")).native());
  };
  return finish(std::move(dataset), options, labels("train"), labels("t10k"));
}

}  // namespace lamina::data
