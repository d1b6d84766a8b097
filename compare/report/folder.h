// The folder of files beside a report: built aside, and its files put in their places when everything is
// there.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace lamina::compare {

// A label as the last cell of a CSV row: what gnuplot and pandas both read back.
std::string csv_text(std::string text);

class Replacement;

class ReportFolder {
 public:
  // For "dir/report.html" the folder is "dir/report-files"; "dir" is made if need be. Throws Error if it
  // cannot be made, or if the folder there is not a report's.
  explicit ReportFolder(const std::filesystem::path& page);
  ~ReportFolder();  // removes the folder that it was built in
  ReportFolder(const ReportFolder&) = delete;
  ReportFolder& operator=(const ReportFolder&) = delete;

  // While it is built; what ends in .tmp there goes in the end.
  const std::filesystem::path& path() const { return temporary_; }
  std::string name() const { return target_.filename().string(); }  // in the end

  // Throws Error unless everything reached the disk.
  void write(const std::string& name, const std::string& contents) const;

  // Puts page and files in their places, all or none: throws Error where that fails, and the earlier report
  // is as it was. What others put into the folder is not touched; what an earlier report put there, by the
  // list in the folder, and this one has not, goes.
  void publish(const std::string& page_contents);

 private:
  void put_in_place(Replacement& target, const std::set<std::string>& names,
                    const std::set<std::string>& earlier) const;

  std::filesystem::path page_, target_, temporary_;
  bool holds_earlier_ = false;  // the folder it was built in has files that could not be put back
};

}  // namespace lamina::compare
