#include "core/base/csv.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <string_view>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/whole_file.h"

namespace lamina {
namespace {

struct Kept {
  std::string text;
  std::int64_t last = -1;
};

// A line without its newline was cut short by a crash and is dropped like those beyond the limit.
Kept keep_rows(const std::string& text, const std::string& header, std::int64_t keep_through,
               const std::filesystem::path& path) {
  Kept kept{header + "\n"};
  if (text.find('\n') == std::string::npos) return kept;
  check(text.starts_with(kept.text),
        "{}: its columns are not \"{}\": written by another version; move it away", path.string(), header);
  for (std::size_t begin = kept.text.size(); begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::int64_t key = std::strtoll(text.c_str() + begin, nullptr, 10);
    if (key > keep_through) break;
    kept.text += text.substr(begin, end + 1 - begin);
    kept.last = key;
    begin = end + 1;
  }
  return kept;
}

// Takes the first line off `text`, without its newline; false if there is no whole line left.
bool take_line(std::string_view& text, std::string_view& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

std::vector<std::string_view> split(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> cells;
  for (std::size_t comma = line.find(','); comma != std::string_view::npos; comma = line.find(',')) {
    cells.push_back(line.substr(0, comma));
    line.remove_prefix(comma + 1);
  }
  cells.push_back(line);
  return cells;
}

std::size_t position_of(const std::string& column, const std::vector<std::string_view>& header,
                        const std::filesystem::path& path) {
  const auto found = std::find(header.begin(), header.end(), column);
  check(found != header.end(), "{}: it has no column \"{}\"; the file is damaged, or of another program",
        path.string(), column);
  return static_cast<std::size_t>(found - header.begin());
}

double number(std::string_view cell, const std::filesystem::path& path, std::size_t line) {
  if (cell.empty()) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  check(result.ec == std::errc() && result.ptr == cell.data() + cell.size(),
        "{}: line {}: \"{}\" is not a number; the file is damaged", path.string(), line, cell);
  return value;
}

}  // namespace

CsvFile::CsvFile(std::filesystem::path path, const std::string& header, std::int64_t keep_through)
    : path_(std::move(path)) {
  const bool exists = is_there(path_);
  const std::string before = exists ? read_text(path_) : std::string();
  const Kept kept = keep_rows(before, header, keep_through, path_);
  last_ = kept.last;
  write_file_atomically(path_, kept.text);
  do {
    file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  } while (file_ < 0 && errno == EINTR);
  check(file_ >= 0, "{}: cannot be opened for writing: {}", path_.string(), std::strerror(errno));
}

CsvFile::~CsvFile() {
  try {
    flush();
  } catch (const Error&) {  // only reached while another error is on its way out
  }
  ::close(file_);
}

void CsvFile::add(const std::string& row) {
  last_ = std::strtoll(row.c_str(), nullptr, 10);
  buffer_ += row + "\n";
  if (std::chrono::steady_clock::now() - flushed_ > std::chrono::seconds(1)) flush();
}

void CsvFile::flush() {
  flushed_ = std::chrono::steady_clock::now();
  while (!buffer_.empty()) {
    const ssize_t written = ::write(file_, buffer_.data(), buffer_.size());
    if (written < 0 && errno == EINTR) continue;
    check(written > 0, "{}: writing failed: {}; free some space, then start again", path_.string(),
          std::strerror(errno));
    buffer_.erase(0, static_cast<std::size_t>(written));
  }
}

void CsvFile::sync() {
  flush();
  int synced = ::fsync(file_);
  while (synced != 0 && errno == EINTR) synced = ::fsync(file_);
  check(synced == 0, "{}: writing failed: {}; free some space, then start again", path_.string(),
        std::strerror(errno));
}

std::vector<std::string> csv_columns(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::string_view rest = text, line;
  if (!take_line(rest, line)) return {};
  const std::vector<std::string_view> cells = split(line);
  return {cells.begin(), cells.end()};
}

std::vector<std::vector<double>> read_csv(const std::filesystem::path& path,
                                          const std::vector<std::string>& columns,
                                          const std::vector<std::string>& optional) {
  const std::string text = read_text(path);
  std::string_view rest = text, line;
  if (!take_line(rest, line)) return {};  // cut short in its header
  const std::vector<std::string_view> header = split(line);
  std::vector<std::size_t> positions;
  positions.reserve(columns.size() + optional.size());
  for (const std::string& column : columns) positions.push_back(position_of(column, header, path));
  for (const std::string& column : optional)
    positions.push_back(
        static_cast<std::size_t>(std::find(header.begin(), header.end(), column) - header.begin()));
  std::vector<std::vector<double>> rows;
  for (std::size_t n = 2; take_line(rest, line); ++n) {
    const std::vector<std::string_view> cells = split(line);
    check(cells.size() == header.size(), "{}: line {}: {} cells under a header of {}; the file is damaged",
          path.string(), n, cells.size(), header.size());
    std::vector<double>& row = rows.emplace_back();
    for (const std::size_t position : positions)
      row.push_back(position < cells.size() ? number(cells[position], path, n) : number("", path, n));
  }
  return rows;
}

}  // namespace lamina
