// Where a data set's files are looked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::data {

struct Place {
  std::string name;      // "cifar10"
  std::string official;  // the folder its archive unpacks to, "cifar-10-batches-bin"; may be empty
  std::vector<std::string> markers;  // a directory that holds one of these is it
};

// With a directory given: it, or the official folder in it. Else the first of
// $LAMINA_DATA/NAME, $LAMINA_DATA/OFFICIAL, $LAMINA_DATA, the same two in cache_directory(), and in
// /usr/share/datasets. Throws Error listing the places and how to get the data.
std::filesystem::path find(const Place& place, const std::string& directory = {});

}  // namespace lamina::data
