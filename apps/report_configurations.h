// The part of a report that says how its runs were made.
#pragma once

#include <string>
#include <vector>

#include "apps/comparison.h"

namespace lamina {

// HTML: how the contenders' options differ, what all of them share, the optimizers' knobs, the commands.
std::string configurations(const std::vector<Group>& groups);

}  // namespace lamina
