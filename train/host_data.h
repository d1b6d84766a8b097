// The data of a run that several ranks (core/parallel/collective.h) train, once on each of their machines.
#pragma once

#include <functional>
#include <string>

#include "core/parallel/collective.h"
#include "train/setup.h"

namespace lamina::train {

// Of what a recipe has opened. Where it is the same, on one machine, so are the data.
std::string data_key(const ResolvedRecipe& recipe);

// What `open` gives, which is open_data() for this recipe or what that gave before. All ranks call it; of
// those on one machine that ask for the same data the first opens them, and all use its memory: what one of
// them writes there is its own. Where the system does not let them, which the first one's notes tell, and for
// folders of images, whose decoded pixels are shared as they are (data/cache.h), each opens its own. `ranks`
// may be null: one process.
TrainingData open_on_host(const ResolvedRecipe& recipe, Collective* ranks,
                          const std::function<TrainingData()>& open);

}  // namespace lamina::train
