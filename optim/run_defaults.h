// Where a run starts that is told neither a preset nor a learning rate: `lamina train --optimizer lars`.
// Chosen for short runs, docs/optimizers.md says how; apart from the presets, whose values are those of a
// paper or a public implementation.
#pragma once

#include <string_view>

namespace lamina {

// Settings of knobs over the optimizer's first preset, the learning rate among them: "lr=0.1*B/B_base …", to
// be resolved with the run's facts (optim/presets.h). Throws UsageError listing the valid names.
std::string_view run_defaults(std::string_view optimizer);

}  // namespace lamina
