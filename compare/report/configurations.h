// The part of a report that says how its runs were made.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

// HTML: how the contenders' options differ, what all of them share, the optimizers' knobs, the commands.
std::string configurations(const std::vector<Group>& groups);

}  // namespace lamina::compare
