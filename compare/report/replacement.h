// Files put into a folder that others use too: all of them, or none.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::compare {

// Only files of the names it is told are touched, one rename each, so that there is a whole one under each
// name at every moment. What they replace is kept until the end. Both folders must be on one file system. All
// members but put_back() throw Error, with the change in question not made.
class Replacement {
 public:
  // Makes `folder` if need be, and `aside`, where what is replaced is kept.
  Replacement(std::filesystem::path folder, std::filesystem::path aside);

  void put(const std::filesystem::path& file);  // moves it into the folder, under its name
  void take_out(const std::string& name);       // a regular file; anything else stays

  // The folder as it was. False if that fails somewhere: the rest is still in `aside`.
  bool put_back() noexcept;

 private:
  struct Change {
    std::filesystem::path place, before,
        from;  // before: where the earlier file is kept; empty: there was none
  };
  std::filesystem::path next_aside() const { return aside_ / std::to_string(changes_.size()); }

  std::filesystem::path folder_, aside_;
  std::vector<Change> changes_;
  bool made_folder_ = false;
};

}  // namespace lamina::compare
