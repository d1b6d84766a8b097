// Text tables for people: columns as wide as their widest cell, columns of numbers aligned to the right.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lamina {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

  void add(std::vector<std::string> row);  // as many cells as the header; throws Error otherwise
  std::string str() const;                 // header, rule, rows; every line ends with a newline

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// "0.5000" for 4 digits; a NaN without a sign.
std::string decimals(double value, int digits);
// "1:02:03" or "2:03".
std::string format_duration(double seconds);
// "1.5 GiB", "23.4 MiB", "5.0 KiB".
std::string format_bytes(double bytes);
// "272,474".
std::string format_count(std::int64_t count);

}  // namespace lamina
