#include "compare/study_data.h"

#include <utility>

#include "train/host_data.h"
#include "train/run_ranks.h"

namespace lamina::compare {

const train::TrainingData& DataSets::of(const train::ResolvedRecipe& resolved) {
  const auto found = opened_.find(train::data_key(resolved));
  return found != opened_.end() ? found->second.data : keep(resolved, {.data = train::open_data(resolved)});
}

const train::TrainingData& DataSets::keep(const train::ResolvedRecipe& resolved, Opened opened) {
  const train::Recipe& r = resolved.recipe;
  const train::TrainingData& data = (opened_[train::data_key(resolved)] = std::move(opened)).data;
  identities_.emplace(std::tuple(r.data, r.image_size, r.skip_damaged), data.set.identity);
  return data;
}

const train::TrainingData& DataSets::on_host(const train::ResolvedRecipe& resolved, Collective* ranks) {
  const train::RunRanks together(ranks);
  if (together.several() == nullptr) return of(resolved);
  const auto found = opened_.find(train::data_key(resolved));
  // A rank that has them takes part where another has not.
  const bool lacks = found == opened_.end() || !found->second.on_host;
  if (together.first_of(lacks ? 1 : 0) == 0) return found->second.data;
  const auto open = [&] { return found == opened_.end() ? train::open_data(resolved) : found->second.data; };
  return keep(resolved, {.data = train::open_on_host(resolved, ranks, open), .on_host = true});
}

const data::DataIdentity& DataSets::identity_of(const train::ResolvedRecipe& resolved) {
  const train::Recipe& r = resolved.recipe;
  const auto key = std::tuple(r.data, r.image_size, r.skip_damaged);
  const auto found = identities_.find(key);
  if (found != identities_.end()) return found->second;
  return identities_.emplace(key, data::open(r.data, resolved.open).identity).first->second;
}

}  // namespace lamina::compare
