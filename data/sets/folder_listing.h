// Which files of a folder of images are the images of which class: all that folder() knows before it decodes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lamina::data {

struct ImageFile {
  std::filesystem::path path;
  std::int32_t label = 0;
};

// Files that are not used, and why.
struct LeftOut {
  std::map<std::string, std::int64_t> other_kinds;  // ".csv", or "without an ending", and how many
  std::int64_t outside_classes = 0;                 // images beside the class folders

  std::vector<std::string> notes() const;  // a line for each of the two, if there are any
};

struct FolderListing {
  std::vector<std::string> classes;
  std::vector<ImageFile> train, test;
  LeftOut left_out;
};

// Of the layouts of folder.h. What has an image's ending is one; other files are left out, and counted.
// Throws Error for whatever cannot be looked at, so that nothing is missing unsaid.
FolderListing list_folder(const std::filesystem::path& directory);

}  // namespace lamina::data
