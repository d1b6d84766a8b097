// The folder of files beside a report, built aside and put in its place when everything is there.
#pragma once

#include <filesystem>
#include <string>

namespace lamina::compare {

// A label as the last cell of a CSV row: what gnuplot and pandas both read back.
std::string csv_text(std::string text);

class ReportFolder {
 public:
  // For "dir/report.html" the folder is "dir/report-files"; "dir" is made if need be. Throws Error if it
  // cannot be made, or if the folder there is not a report's.
  explicit ReportFolder(const std::filesystem::path& page);
  ~ReportFolder();  // removes what was built, unless it was put in place
  ReportFolder(const ReportFolder&) = delete;
  ReportFolder& operator=(const ReportFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }  // while it is built
  std::string name() const { return target_.filename().string(); }  // in the end

  // Throws Error unless everything reached the disk.
  void write(const std::string& name, const std::string& contents) const;

  // Writes the page and puts the folder in its place. Files that others put into the earlier one are kept.
  void publish(const std::string& page_contents);

 private:
  std::filesystem::path page_, target_, temporary_;
};

}  // namespace lamina::compare
