#include "tree.h"

#include <fstream>
#include <set>
#include <sstream>
#include <vector>

namespace lamina::faults {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream text(line + ",");
  for (std::string cell; std::getline(text, cell, ',');) cells.push_back(cell);
  return cells;
}

std::string without_times(const std::string& csv) {
  static const std::set<std::string> times{"seconds", "images_per_s"};
  std::istringstream text(csv);
  std::string line, kept;
  std::vector<std::string> header;
  while (std::getline(text, line)) {
    const std::vector<std::string> cells = cells_of(line);
    if (header.empty()) header = cells;
    for (std::size_t i = 0; i < cells.size(); ++i)
      if (i >= header.size() || !times.contains(header[i])) kept += cells[i] + ",";
    kept += "\n";
  }
  return kept;
}

}  // namespace

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

Tree read_tree(const fs::path& folder) {
  Tree tree;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).generic_string();
    if (entry.is_directory())
      tree[name + "/"];
    else
      tree[name] = read_file(entry.path());
  }
  return tree;
}

void write_tree(const fs::path& folder, const Tree& tree) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& [name, bytes] : tree) {
    fs::create_directories((folder / name).parent_path());
    if (!name.ends_with('/')) std::ofstream(folder / name, std::ios::binary) << bytes;
  }
}

void add_folders(Tree& tree) {
  const Tree files = tree;
  for (const auto& [name, bytes] : files)
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
      tree[name.substr(0, slash + 1)];
}

Tree subtree(const Tree& tree, const Chosen& chosen) {
  Tree part;
  for (const auto& [name, bytes] : tree)
    if (chosen(name)) part.emplace(name, bytes);
  return part;
}

std::string comparable(const std::string& path, std::string bytes, const fs::path& folder) {
  if (path.ends_with(".safetensors")) return bytes;
  const std::string own = folder.string();
  if (!own.empty())
    for (std::size_t at = bytes.find(own); at != std::string::npos; at = bytes.find(own, at + 1))
      bytes.replace(at, own.size(), "@");
  return path.ends_with(".csv") ? without_times(bytes) : bytes;
}

Tree comparable(const Tree& tree, const fs::path& folder) {
  Tree result;
  for (const auto& [name, bytes] : tree) result.emplace(name, comparable(name, bytes, folder));
  return result;
}

std::string difference(const Tree& expected, const Tree& seen) {
  for (const auto& [name, bytes] : expected) {
    const auto found = seen.find(name);
    if (found == seen.end()) return name + " is missing";
    if (found->second != bytes) return name + " has other bytes";
  }
  for (const auto& [name, bytes] : seen)
    if (!expected.contains(name)) return name + " is there too";
  return "";
}

}  // namespace lamina::faults
