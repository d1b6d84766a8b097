// A run can be trained for more epochs than it was started for, where its learning rates and knobs so far
// would have been the same: the end is then that of a run of so many epochs from the start.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace lamina::train {

// `config` with the number of epochs of `saved`, and what its schedule says of them: for comparing the rest.
nlohmann::json with_epochs_of(const nlohmann::json& saved, nlohmann::json config);

// Whether a run of `config` has more epochs than one of `saved`, which is alike but for the epochs; both are
// a config.json, that of `run` the latter. Throws UsageError, with the reason, where it has fewer, or its
// learning rates or knobs would have been others. One that does not say how many it has is as long as any.
bool check_longer(const nlohmann::json& saved, const nlohmann::json& config,
                  const std::filesystem::path& run);

}  // namespace lamina::train
