// The files of a folder, in memory: put down before each run, compared after it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace lamina::faults {

// By path from the folder, with slashes. Folders end in one, and have no bytes.
using Tree = std::map<std::string, std::string>;

std::string read_file(const std::filesystem::path& path);
Tree read_tree(const std::filesystem::path& folder);
void write_tree(const std::filesystem::path& folder, const Tree& tree);  // in place of what is there

void add_folders(Tree& tree);  // of all its files

using Chosen = std::function<bool(const std::string& path)>;
Tree subtree(const Tree& tree, const Chosen& chosen);

// What must be the same in every run: without the columns of time of a CSV file, and with the folder's own
// name left out (none: there is no such name).
std::string comparable(const std::string& path, std::string bytes, const std::filesystem::path& folder);
Tree comparable(const Tree& tree, const std::filesystem::path& folder);

// The first path at which the trees differ, and how; empty if they do not.
std::string difference(const Tree& expected, const Tree& seen);

}  // namespace lamina::faults
