#include "compare/study_data.h"

namespace lamina::compare {

const train::TrainingData& DataSets::of(const train::ResolvedRecipe& resolved) {
  const train::Recipe& r = resolved.recipe;
  const auto key =
      std::tuple(r.data, r.limit_train, r.limit_test, r.image_size, r.skip_damaged, r.valid, r.normalise);
  const auto found = opened_.find(key);
  if (found != opened_.end()) return found->second;
  const train::TrainingData& data = opened_.emplace(key, train::open_data(resolved)).first->second;
  identities_.emplace(std::tuple(r.data, r.image_size, r.skip_damaged), data.set.identity);
  return data;
}

const data::DataIdentity& DataSets::identity_of(const train::ResolvedRecipe& resolved) {
  const train::Recipe& r = resolved.recipe;
  const auto key = std::tuple(r.data, r.image_size, r.skip_damaged);
  const auto found = identities_.find(key);
  if (found != identities_.end()) return found->second;
  return identities_.emplace(key, data::open(r.data, resolved.open).identity).first->second;
}

}  // namespace lamina::compare
