#include "compare/study_data.h"

#include <utility>

#include "train/host_data.h"
#include "train/run_ranks.h"

namespace lamina::compare {

const train::TrainingData& DataSets::of(const train::ResolvedRecipe& resolved) {
  const train::Recipe& r = resolved.recipe;
  const std::string key = train::data_key(resolved);
  const auto found = opened_.find(key);
  if (found != opened_.end()) return found->second.data;
  const train::TrainingData& data = (opened_[key] = {.data = train::open_data(resolved)}).data;
  identities_.emplace(std::tuple(r.data, r.image_size, r.skip_damaged), data.set.identity);
  return data;
}

const train::TrainingData& DataSets::on_host(const train::ResolvedRecipe& resolved, Collective* ranks) {
  const train::RunRanks together(ranks);
  if (together.several() == nullptr) return of(resolved);
  const std::string key = train::data_key(resolved);
  const auto found = opened_.find(key);
  // A rank that has them takes part where another has not.
  const bool lacks = found == opened_.end() || !found->second.on_host;
  if (together.first_of(lacks ? 1 : 0) == 0) return found->second.data;
  const auto open = [&] {
    return found == opened_.end() ? train::open_data(resolved) : std::exchange(found->second.data, {});
  };
  return (opened_[key] = {.data = train::open_on_host(resolved, ranks, open), .on_host = true}).data;
}

const data::DataIdentity& DataSets::identity_of(const train::ResolvedRecipe& resolved) {
  const train::Recipe& r = resolved.recipe;
  const auto key = std::tuple(r.data, r.image_size, r.skip_damaged);
  const auto found = identities_.find(key);
  if (found != identities_.end()) return found->second;
  return identities_.emplace(key, data::open(r.data, resolved.open).identity).first->second;
}

}  // namespace lamina::compare
