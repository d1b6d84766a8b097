// A report's first words: what was compared, and what it came to.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace lamina::compare {

// HTML. `baselines`: what was never trained.
std::string summary_paragraph(const std::vector<Group>& groups, const std::vector<Group>& baselines = {});

}  // namespace lamina::compare
