// CSV files of numbers. CsvFile: a growing one whose first column is an increasing integer, so that a resumed
// run can cut off what lies beyond its checkpoint.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lamina {

class CsvFile {
 public:
  // Opens `path` for appending and keeps the whole rows whose first column is at most `keep_through`; a new
  // file starts with `header`. Throws Error if it cannot be written or has another header.
  CsvFile(std::filesystem::path path, const std::string& header, std::int64_t keep_through);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  void add(const std::string& row);  // without the newline; handed to the system within about a second
  void flush();                      // hands the rows to the system; throws Error if it won't take them
  void sync();                       // flush(), and waits until they are on the disk

  std::int64_t last() const { return last_; }  // first column of the last row; -1 without rows

 private:
  std::filesystem::path path_;
  std::string buffer_;
  std::int64_t last_ = -1;
  int file_ = -1;
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
};

// The names of all columns; none of a file that was cut short in its header. Throws Error if it cannot be
// read.
std::vector<std::string> csv_columns(const std::filesystem::path& path);

// The named columns, in the order asked for, of every whole row; an empty cell is NaN, a last line without
// its newline was cut short by a crash and is left out. Throws Error if the file cannot be read, lacks a
// column, or a cell is not a number (naming file, line and cell). `optional` columns come last; NaN where the
// file has none.
std::vector<std::vector<double>> read_csv(const std::filesystem::path& path,
                                          const std::vector<std::string>& columns,
                                          const std::vector<std::string>& optional = {});

}  // namespace lamina
