#include "core/base/table.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/base/text_columns.h"
#include "core/base/unsigned_nan.h"

namespace lamina {
namespace {

bool is_number(const std::string& cell) {
  if (cell.empty() || cell == "-") return true;
  const std::size_t first = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
  return first < cell.size() && std::isdigit(static_cast<unsigned char>(cell[first])) != 0;
}

struct Column {
  std::size_t width = 0;
  bool right = true;  // all of its cells are numbers
};

std::string line(const std::vector<std::string>& cells, const std::vector<Column>& columns) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(columns[i].width - columns_of(cells[i]), ' ');
    if (i > 0) text += "  ";
    text += columns[i].right ? padding + cells[i] : cells[i] + padding;
  }
  return text.erase(text.find_last_not_of(' ') + 1) + "\n";
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  check(row.size() == header_.size(), "table: a row of {} cells under a header of {}", row.size(),
        header_.size());
  for (std::string& cell : row)
    cell = printable(cell);  // names of classes and files, which come from elsewhere
  rows_.push_back(std::move(row));
}

std::string Table::str() const {
  std::vector<Column> columns(header_.size());
  std::vector<std::string> rule(header_.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i].width = columns_of(header_[i]);
    for (const auto& row : rows_) {
      columns[i].width = std::max(columns[i].width, columns_of(row[i]));
      columns[i].right = columns[i].right && is_number(row[i]);
    }
    rule[i] = std::string(columns[i].width, '-');
  }
  std::string text = line(header_, columns) + line(rule, columns);
  for (const auto& row : rows_) text += line(row, columns);
  return text;
}

std::string decimals(double value, int digits) { return fmt::format("{:.{}f}", unsigned_nan(value), digits); }

std::string format_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  const std::int64_t hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, rest)
                   : fmt::format("{}:{:02}", minutes, rest);
}

std::string format_bytes(double bytes) {
  constexpr double kibi = 1024;
  if (bytes >= kibi * kibi * kibi) return fmt::format("{:.1f} GiB", bytes / (kibi * kibi * kibi));
  if (bytes >= kibi * kibi) return fmt::format("{:.1f} MiB", bytes / (kibi * kibi));
  return fmt::format("{:.1f} KiB", bytes / kibi);
}

std::string format_count(std::int64_t count) {
  const std::string digits = std::to_string(count);
  const std::size_t sign = count < 0 ? 1 : 0;
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace lamina
