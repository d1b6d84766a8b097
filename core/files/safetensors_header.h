// The JSON header of a safetensors file:
//   {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
// Offsets count from the end of the header. Together the ranges cover the rest of the file exactly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/shape.h"

namespace lamina {

struct TensorEntry {
  std::string name;
  std::string dtype;  // as in the file: "F32"
  Shape shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct TensorHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorEntry> entries;  // in the order of the header
};

constexpr std::uint64_t max_header_bytes = 100'000'000;  // the format's own limit

// Bytes of one element; 0 for a dtype that this program cannot hold.
std::size_t stored_element_size(const std::string& dtype);

// Throws Error, beginning with `source`, unless `json` is a valid header for `data_bytes` bytes of data.
TensorHeader parse_header(const std::string& json, std::uint64_t data_bytes, const std::string& source);

// Throws Error if a name or value is not UTF-8.
std::string format_header(const TensorHeader& header);

}  // namespace lamina
