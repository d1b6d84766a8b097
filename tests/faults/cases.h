// The commands that faults are tried on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "process.h"
#include "tree.h"

namespace lamina::faults {

struct Case {
  std::string name;
  Arguments arguments;
  Tree before;                             // the folder it starts in
  std::vector<std::string> results;        // what it is to write: files, or beginnings of their paths
  std::vector<std::string> changes;        // what it may write: the same; all other files stay as they are
  std::vector<std::string> together = {};  // of these either all are the old ones or all are the new
  std::vector<std::string> own = {};       // a user's files among those that may change
  std::vector<std::string> cleans = {};    // where it removes what a killed process left half-written
  bool compares_output = false;            // its standard output is a result
};

// The command that is to bring a folder to the same result after a fault: the same one, but for a run that is
// there, which is resumed.
Arguments command_to_go_on(const Case& c, const Tree& seen);

bool starts_with_any(const std::string& path, const std::vector<std::string>& beginnings);

// Makes the folders that the cases start in, with the program itself, in `scratch`.
std::vector<Case> make_cases(const std::filesystem::path& program, const std::filesystem::path& scratch);

// What the program runs with besides what a fault needs.
Environment environment_in(const std::filesystem::path& folder);

}  // namespace lamina::faults
