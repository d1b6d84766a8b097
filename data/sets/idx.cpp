#include "data/sets/idx.h"

#include <zlib.h>

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/error.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

// Reads plain and compressed files alike.
class GzFile {
 public:
  explicit GzFile(const fs::path& path) : name_(path.string()), file_(gzopen(name_.c_str(), "rb"), gzclose) {
    check(file_ != nullptr, "{}: cannot be opened: {}", name_, std::generic_category().message(errno));
  }
  // Up to `count` bytes; fewer at the end of the file.
  std::size_t read(std::uint8_t* out, std::size_t count) {
    const int got = gzread(file_.get(), out, static_cast<unsigned>(count));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    check(code != Z_ERRNO, "{}: cannot be read: {}", name_, message);
    check(got >= 0 && (code == Z_OK || code == Z_STREAM_END), "{}: damaged or truncated .gz: {}", name_,
          message);
    return static_cast<std::size_t>(got);
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

fs::path plain_or_gz(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  fs::path compressed = path.string() + ".gz";
  check(fs::exists(compressed, ignored), "{}: no such file, nor {}.gz", path.string(),
        path.filename().string());
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

// A header may promise anything; memory grows only with what is really there.
std::vector<std::uint8_t> read_rest(GzFile& file, std::int64_t expected) {
  constexpr std::size_t chunk = 1 << 20;
  std::vector<std::uint8_t> data;
  std::size_t size = 0;
  while (static_cast<std::int64_t>(size) <= expected) {
    data.resize(size + chunk);
    const std::size_t got = file.read(&data[size], chunk);
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
        images_path.string(), images.size(0), labels.size(), labels_path.filename().string());
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
    return (directory / (std::string(prefix) + "-labels-idx1-ubyte")).string();
  };
  return finish(std::move(dataset), options, labels("train"), labels("t10k"));
}

}  // namespace lamina::data
