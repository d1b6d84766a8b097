// What the data of runs are called beside one another.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

// For each run, a name that it shares with the runs on the same data, wherever those lay, and with no other:
// "cifar10", "folder:flowers", or with what tells two of that name apart: "folder:flowers (24 + 12 images)".
// Runs of earlier versions, which did not keep what their data are, go by the option; of a folder by its
// path.
std::vector<std::string> name_data(const std::vector<RunResult>& runs);

}  // namespace lamina::compare
