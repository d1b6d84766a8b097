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
  // The same, once on each machine (train/host_data.h). All ranks call it for the same run; null: one does.
  const train::TrainingData& on_host(const train::ResolvedRecipe& resolved, Collective* ranks);
  // For runs that need no images any more: what is opened for this alone is not kept.
  const data::DataIdentity& identity_of(const train::ResolvedRecipe& resolved);

 private:
  struct Opened {
    train::TrainingData data;
    bool on_host = false;  // has been shared there
  };
  const train::TrainingData& keep(const train::ResolvedRecipe& resolved, Opened opened);

  std::map<std::string, Opened> opened_;  // by train::data_key()
  std::map<std::tuple<std::string, int, bool>, data::DataIdentity> identities_;
};

}  // namespace lamina::compare
