#include "core/files/safetensors_header.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/base/error.h"

namespace lamina {

namespace {

using nlohmann::json;

// Receives the parser's events, so that nothing but the header itself is ever built: duplicate keys are seen,
// and nesting costs no stack.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  HeaderReader(TensorHeader& header, const std::string& source) : header_(header), source_(source) {}

  bool null() override {
    if (depth_ != 1 || key_ != "__metadata__") refuse("null");
    return true;
  }
  bool boolean(bool) override { refuse("true or false"); }
  bool number_integer(number_integer_t value) override {
    refuse(fmt::format("the negative number {}", value));
  }
  bool number_float(number_float_t, const string_t& text) override { refuse("the number " + text); }
  bool binary(binary_t&) override { refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) refuse(fmt::format("the number {}", value));
    if (key_ == "shape")
      append_extent(value);
    else
      append_offset(value);
    return true;
  }

  bool string(string_t& text) override {
    if (depth_ == 2 && in_metadata_) {
      bad(header_.metadata.emplace(key_, text).second, "metadata key \"{}\" occurs twice", key_);
    } else if (depth_ == 2 && key_ == "dtype" && !in_array_) {
      entry().dtype = text;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2 || in_array_) refuse("an object");
    ++depth_;
    if (depth_ == 2) start_entry();
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) end_entry();
    --depth_;
    return true;
  }

  bool key(string_t& text) override {
    key_ = text;
    if (depth_ == 1) bad(names_.insert(text).second, "the name \"{}\" occurs twice", text);
    if (depth_ == 2 && !in_metadata_) {
      bad(text == "dtype" || text == "shape" || text == "data_offsets",
          "tensor \"{}\" has the unknown key \"{}\"; expected dtype, shape and data_offsets", entry().name,
          text);
      bad(fields_.insert(text).second, "tensor \"{}\" has \"{}\" twice", entry().name, text);
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || key_ == "dtype") refuse("an array");
    in_array_ = true;
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (key_ == "data_offsets") {
      bad(offsets_ == 2, "tensor \"{}\" has {} data_offsets; expected 2", entry().name, offsets_);
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    fail("{}: the header is not JSON, at its byte {}: {}", source_, position, e.what());
  }

 private:
  template <typename... Args>
  void bad(bool ok, fmt::format_string<Args...> format, Args&&... args) const {
    if (!ok) fail("{}: {}", source_, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void refuse(const std::string& what) const {
    fail("{}: the header has {} where the format has none (near \"{}\")", source_, what, key_);
  }

  TensorEntry& entry() { return header_.entries.back(); }

  void start_entry() {
    in_metadata_ = key_ == "__metadata__";
    fields_.clear();
    if (!in_metadata_) header_.entries.emplace_back().name = key_;
  }

  void end_entry() {
    bad(fields_.size() == 3, "tensor \"{}\" lacks one of dtype, shape and data_offsets", entry().name);
  }

  void append_extent(std::uint64_t extent) {
    bad(entry().shape.rank() < Shape::max_rank, "tensor \"{}\" has more than {} dimensions", entry().name,
        Shape::max_rank);
    bad(extent <= std::numeric_limits<std::int64_t>::max(), "tensor \"{}\" has the extent {}, out of range",
        entry().name, extent);
    entry().shape.append(static_cast<std::int64_t>(extent));
  }

  void append_offset(std::uint64_t offset) {
    if (offsets_ == 0) entry().begin = offset;
    if (offsets_ == 1) entry().end = offset;
    ++offsets_;
  }

  TensorHeader& header_;
  const std::string& source_;
  int depth_ = 0;  // of objects: 1 names, 2 inside a tensor or the metadata
  bool in_metadata_ = false;
  bool in_array_ = false;
  int offsets_ = 0;
  std::string key_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;  // of the current tensor
};

// elements * size, or the largest number when that overflows: no range is that long.
std::uint64_t bytes_needed(const TensorEntry& entry) {
  std::uint64_t bytes = stored_element_size(entry.dtype);
  for (const std::int64_t extent : entry.shape) {
    const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(extent, 1));
    if (__builtin_mul_overflow(bytes, factor, &bytes)) return std::numeric_limits<std::uint64_t>::max();
  }
  return entry.shape.elements() == 0 ? 0 : bytes;
}

void check_ranges(const TensorHeader& header, std::uint64_t data_bytes, const std::string& source) {
  std::vector<const TensorEntry*> by_offset;
  for (const TensorEntry& entry : header.entries) {
    check(stored_element_size(entry.dtype) > 0,
          "{}: tensor \"{}\" has dtype {}; readable are F64, F32, F16, BF16, I64, I32, U8", source,
          entry.name, entry.dtype);
    check(entry.begin <= entry.end && entry.end - entry.begin == bytes_needed(entry),
          "{}: tensor \"{}\", {} {}, has data_offsets [{}, {}], which do not fit its size", source,
          entry.name, entry.dtype, entry.shape.str(), entry.begin, entry.end);
    by_offset.push_back(&entry);
  }
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t covered = 0;
  for (const TensorEntry* entry : by_offset) {
    check(entry->begin == covered, "{}: tensor \"{}\" begins at byte {} of the data; expected {}: {}", source,
          entry->name, entry->begin, covered, entry->begin < covered ? "tensors overlap" : "there is a hole");
    covered = entry->end;
  }
  check(covered == data_bytes, "{}: the tensors take {} bytes, but {} follow the header: {}", source, covered,
        data_bytes, covered > data_bytes ? "the file is cut off" : "there is something else behind them");
}

std::string quoted(const std::string& text) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    fail("safetensors: a name or metadata text is not UTF-8: \"{}\"",
         json(text).dump(-1, ' ', true, json::error_handler_t::replace));
  }
}

}  // namespace

std::size_t stored_element_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  return dtype == "U8" ? 1 : 0;
}

TensorHeader parse_header(const std::string& text, std::uint64_t data_bytes, const std::string& source) {
  check(!text.empty() && text.front() == '{',
        "{}: the header does not begin with '{{': not a safetensors file", source);
  // The JSON parser takes a NUL for the end of its input.
  check(text.find('\0') == std::string::npos, "{}: the header is not JSON: it holds a NUL byte", source);
  TensorHeader header;
  HeaderReader reader(header, source);
  json::sax_parse(text, &reader);
  check_ranges(header, data_bytes, source);
  return header;
}

std::string format_header(const TensorHeader& header) {
  std::string text;
  for (const auto& [key, value] : header.metadata) {
    text += (text.empty() ? "{\"__metadata__\":{" : ",") + quoted(key) + ":" + quoted(value);
  }
  text += text.empty() ? "{" : "}";
  for (const TensorEntry& entry : header.entries) {
    if (text.size() > 1) text += ",";
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", quoted(entry.name),
                        entry.dtype, fmt::join(entry.shape.begin(), entry.shape.end(), ","), entry.begin,
                        entry.end);
  }
  return text + "}";
}

}  // namespace lamina
