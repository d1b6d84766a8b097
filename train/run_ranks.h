// What the ranks of one run (core/parallel/collective.h) share out and agree on, so that all of them come to
// the same decisions after the same steps. Of one rank all of this is nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/files/safetensors.h"
#include "core/parallel/collective.h"
#include "data/loader.h"
#include "optim/arena.h"
#include "train/metrics.h"

namespace lamina::train {

class RunRanks {
 public:
  explicit RunRanks(Collective* ranks) : ranks_(ranks != nullptr && ranks->size() > 1 ? ranks : nullptr) {}

  Collective* several() const { return ranks_; }                           // null: there is one
  bool leads() const { return ranks_ == nullptr || ranks_->rank() == 0; }  // has the run's directory

  data::Loader share_of(data::Loader loader) const;  // of every batch
  // Of a share: whole batches, in all ranks' parts or, with statistics of all of them, at once.
  data::Loader whole(data::Loader loader, bool sync_batch_norm) const;
  data::Split share_of(const data::Split& split) const;  // consecutive images; may be empty

  void add_up(Metrics& metrics) const;
  // What this rank has waited for the others so far (Collective::seconds_waited()).
  double seconds_waited() const { return ranks_ == nullptr ? 0 : ranks_->seconds_waited(); }
  std::vector<double> of_each(double own) const;  // each rank's number, in their order, on all
  // The first number, in the order of the ranks, that is not 0; 0: all are.
  int first_of(int number) const;
  TensorFile hand_out(const TensorFile& file) const;  // rank 0's, on all
  nlohmann::json hand_out(const nlohmann::json& json) const;

  // Throw Error, naming a rank and how it differs from rank 0: in the run's options or data, in the version
  // or the kernels that compute it; in anything else that all ranks were told; in the bits of the weights.
  void check_same_run(const nlohmann::json& config) const;
  void check_alike(const nlohmann::json& told) const;
  void check_same_weights(const Arena& arena, std::int64_t epoch) const;

 private:
  Collective* ranks_;
};

}  // namespace lamina::train
