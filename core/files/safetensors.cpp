#include "core/files/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <system_error>

#include "core/base/atomic_file.h"
#include "core/base/memory_file.h"
#include "core/base/nearest.h"
#include "core/base/regular_file.h"
#include "core/base/rounding.h"
#include "core/files/safetensors_header.h"

namespace lamina {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

// What a file begins with that is no safetensors file; empty where that tells nothing.
std::string other_format(const std::string& start) {
  constexpr const char* conversion =
      "PyTorch's own format, which is not read here; convert it: python3 -c \"import torch; from "
      "safetensors.torch import save_file; save_file(torch.load('IN.pth', map_location='cpu'), "
      "'OUT.safetensors')\"";
  if (start.starts_with("PK\3\4")) return std::string("a ZIP archive, perhaps ") + conversion;
  if (start.starts_with("\x80\2")) return std::string("a Python pickle, perhaps ") + conversion;
  if (start.starts_with("\x89HDF")) return "an HDF5 file";
  const auto is_text = [](unsigned char c) {
    return (c >= ' ' && c < 127) || c == '\n' || c == '\r' || c == '\t';
  };
  return std::all_of(start.begin(), start.end(), is_text) ? "text" : "";
}

void check_format(const RegularFile& file) {
  check(file.size() > 0, "{}: the file is empty; expected a safetensors file", file.name());
  std::string start(std::min<std::uint64_t>(file.size(), 8), '\0');
  file.read_at(0, start.data(), start.size());
  const std::string format = other_format(start);
  check(format.empty(), "{}: not a safetensors file, but {}", file.name(), format);
}

struct Opened {
  TensorHeader header;
  std::uint64_t data_start = 0;
};

Opened open_header(const RegularFile& file) {
  check_format(file);
  std::uint64_t length = 0;
  check(file.size() >= sizeof length, "{}: {} bytes are too few for a safetensors file", file.name(),
        file.size());
  file.read_at(0, &length, sizeof length);
  check(length <= max_header_bytes && length <= file.size() - sizeof length,
        "{}: the header would take {} bytes, in a file of {}: cut off, or not a safetensors file",
        file.name(), length, file.size());
  std::string json(length, '\0');
  file.read_at(sizeof length, json.data(), length);
  const std::uint64_t data_start = sizeof length + length;
  return {parse_header(json, file.size() - data_start, file.name()), data_start};
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
float from_f16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const auto fraction = static_cast<float>(bits & 1023);
  float magnitude = 0;
  if (exponent == 0)
    magnitude = std::ldexp(fraction, -24);
  else if (exponent < 31)
    magnitude = std::ldexp(1024 + fraction, exponent - 25);
  else
    magnitude =
        fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  return std::copysign(magnitude, (bits & 0x8000) != 0 ? -1.0f : 1.0f);
}

// Reads tensors whose stored elements differ from those in memory.
template <typename Stored, typename T, typename Convert>
Tensor read_converted(const RegularFile& file, std::uint64_t offset, const Shape& shape, Convert convert) {
  std::vector<Stored> stored(static_cast<std::size_t>(shape.elements()));
  file.read_at(offset, stored.data(), stored.size() * sizeof(Stored));
  Tensor tensor = Tensor::empty(shape, {.dtype = dtype_of<T>});
  std::transform(stored.begin(), stored.end(), tensor.data<T>(), convert);
  return tensor;
}

Tensor read_tensor(const RegularFile& file, const TensorEntry& entry, std::uint64_t data_start) {
  const std::uint64_t offset = data_start + entry.begin;
  const auto plain = [&](DType dtype) {
    Tensor tensor = Tensor::empty(entry.shape, {.dtype = dtype});
    file.read_at(offset, tensor.raw(), entry.end - entry.begin);
    return tensor;
  };
  if (entry.dtype == "F32") return plain(DType::f32);
  if (entry.dtype == "F64") return plain(DType::f64);
  if (entry.dtype == "U8") return plain(DType::u8);
  if (entry.dtype == "I32") return plain(DType::i32);
  if (entry.dtype == "BF16")
    return read_converted<std::uint16_t, float>(file, offset, entry.shape, from_bf16);
  if (entry.dtype == "F16") return read_converted<std::uint16_t, float>(file, offset, entry.shape, from_f16);
  return read_converted<std::int64_t, std::int32_t>(file, offset, entry.shape, [&](std::int64_t value) {
    check(value == static_cast<std::int32_t>(value), "{}: tensor \"{}\" holds {}, which does not fit an i32",
          file.name(), entry.name, value);
    return static_cast<std::int32_t>(value);
  });
}

std::string stored_dtype(const Tensor& tensor, bool as_i64) {
  switch (tensor.dtype()) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::bf16:
      return "BF16";
    case DType::u8:
      return "U8";
    case DType::i32:
      return as_i64 ? "I64" : "I32";
  }
  return "?";
}

TensorHeader header_for(const TensorFile& file) {
  TensorHeader header{.metadata = file.metadata, .entries = {}};
  std::set<std::string> names{"__metadata__"};
  for (const auto& [name, tensor] : file.tensors) {
    check(names.insert(name).second, "writing tensors: the name \"{}\" is taken; names must differ", name);
    check(tensor.defined(), "writing tensors: \"{}\" is undefined", name);
    header.entries.push_back(
        {.name = name, .dtype = stored_dtype(tensor, file.as_i64.contains(name)), .shape = tensor.shape()});
  }
  return header;
}

// Wide elements first: then every tensor lies at a multiple of its element size, which PyTorch requires.
std::vector<std::size_t> data_order(const TensorHeader& header) {
  std::vector<std::size_t> order(header.entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return stored_element_size(header.entries[a].dtype) > stored_element_size(header.entries[b].dtype);
  });
  return order;
}

// A file's tensors in the order in which they follow the header.
struct Layout {
  std::string header;
  struct Stored {
    Tensor tensor;
    std::string dtype;
  };
  std::vector<Stored> data;
};

Layout lay_out(const TensorFile& file, const std::string& name) {
  TensorHeader header = header_for(file);
  Layout layout;
  std::uint64_t offset = 0;
  for (const std::size_t i : data_order(header)) {
    TensorEntry& entry = header.entries[i];
    entry.begin = offset;
    offset += stored_element_size(entry.dtype) * static_cast<std::uint64_t>(entry.shape.elements());
    entry.end = offset;
    layout.data.push_back({file.tensors[i].second, entry.dtype});
  }
  layout.header = format_header(header);
  layout.header.resize(round_up(layout.header.size(), 8), ' ');  // the data begins at a multiple of 8
  check(layout.header.size() <= max_header_bytes,
        "writing {}: the header takes {} bytes, more than the format's {}", name, layout.header.size(),
        max_header_bytes);
  return layout;
}

template <typename File>
void write_laid_out(File& file, const Layout& layout) {
  const std::uint64_t length = layout.header.size();
  file.write(&length, sizeof length);
  file.write(layout.header.data(), layout.header.size());
  for (const auto& [tensor, dtype] : layout.data) {
    const Tensor host = tensor.to(Device::cpu());
    if (dtype != "I64") {
      file.write(host.raw(), host.bytes());
      continue;
    }
    const std::vector<std::int32_t> narrow = host.to_vector<std::int32_t>();
    const std::vector<std::int64_t> wide(narrow.begin(), narrow.end());
    file.write(wide.data(), wide.size() * sizeof(std::int64_t));
  }
}

}  // namespace

const Tensor* TensorFile::find(const std::string& name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.first == name; });
  return found == tensors.end() ? nullptr : &found->second;
}

const Tensor& TensorFile::at(const std::string& name) const {
  if (const Tensor* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const auto& [other, tensor] : tensors) names.push_back(other);
  fail("tensor file: no tensor \"{}\" among {}; nearest: {}", name, tensors.size(),
       names.empty() ? "-" : fmt::format("{}", fmt::join(nearest(name, names, 3), ", ")));
}

TensorFile read_tensors(const std::filesystem::path& path, const ReadTensorsOptions& options) {
  const RegularFile input(path);
  const auto [header, data_start] = open_header(input);
  const std::shared_ptr<std::byte> pages = options.map_bytes ? input.map() : nullptr;
  TensorFile file{.tensors = {}, .metadata = header.metadata};
  for (const TensorEntry& entry : header.entries) {
    const bool mapped = pages != nullptr && entry.dtype == "U8";
    file.tensors.emplace_back(
        entry.name,
        mapped ? Tensor::over({pages, pages.get() + data_start + entry.begin}, entry.shape, DType::u8)
               : read_tensor(input, entry, data_start));
    if (entry.dtype == "I64") file.as_i64.insert(entry.name);
  }
  return file;
}

std::map<std::string, std::string> read_metadata(const std::filesystem::path& path) {
  return open_header(RegularFile(path)).header.metadata;
}

void write_tensors(const std::filesystem::path& path, const TensorFile& file) {
  const Layout layout = lay_out(file, path.string());
  AtomicFile output(path);
  write_laid_out(output, layout);
  output.commit();
}

void write_tensors(MemoryFile& to, const TensorFile& file) {
  write_laid_out(to, lay_out(file, "tensors into memory"));
}

}  // namespace lamina
