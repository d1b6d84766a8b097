// Where a data set's files are looked for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lamina::data {

struct Place {
  std::string name;      // "cifar10"
  std::string official;  // the folder its archive unpacks to, "cifar-10-batches-bin"; may be empty
  std::vector<std::string> markers;  // a directory that holds one of these is it
};

// The first of
// $LAMINA_DATA/NAME, $LAMINA_DATA/OFFICIAL, $LAMINA_DATA, the same two in cache_directory(), and in
// /usr/share/datasets that holds the data set; nothing if none does. Throws Error for a place that cannot be
// looked at.
std::optional<std::filesystem::path> find_anywhere(const Place& place);

// With a directory given: it ("~/" is the user's home), or the official folder in it. Else what
// find_anywhere() finds. Throws Error listing the places and how to get the data, or saying what is there
// instead of a directory.
std::filesystem::path find(const Place& place, const std::string& directory = {});

}  // namespace lamina::data
