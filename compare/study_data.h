// The data of a study's runs.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "train/setup.h"

namespace lamina::compare {

// Each data set is opened once, for all the runs that use it.
class DataSets {
 public:
  const train::TrainingData& of(const train::ResolvedRecipe& resolved);
  // For runs that need no images any more: what is opened for this alone is not kept.
  const data::DataIdentity& identity_of(const train::ResolvedRecipe& resolved);

 private:
  std::map<std::tuple<std::string, std::int64_t, std::int64_t, int, bool, double, std::string>,
           train::TrainingData>
      opened_;
  std::map<std::tuple<std::string, int, bool>, data::DataIdentity> identities_;
};

}  // namespace lamina::compare
