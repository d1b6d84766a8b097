// A model and data that it was not trained on: which of its classes are theirs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "train/load_model.h"

namespace lamina::train {

struct ClassMatch {
  std::vector<std::int32_t> outputs;  // of each of the data's classes
  std::vector<std::string> names;     // of the outputs
  std::string note;                   // how they were matched; empty: the same classes in the same order
};

// By their names, in any order; the data may lack some of the model's classes. By position if the file names
// none or `by_position` says so. Throws Error with both lists if the data have a class that the model lacks,
// or a name stands for two; by position, if they are not as many.
ClassMatch match_classes(const LoadedModel& model, const data::Dataset& data, bool by_position);

// The split with labels that are numbers of the model's outputs; it shares the pixels.
data::Split with_labels_of(const ClassMatch& match, const data::Split& split);

}  // namespace lamina::train
