// What the self-supervised objectives share: a module that makes embeddings of two views of each image, and a
// loss of all embeddings of a batch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/keep_buffers.h"
#include "train/objectives/embedding_batch.h"
#include "train/two_pass.h"

namespace lamina {

struct TwoViewOptions {
  // Samples whose views are normalised together: batch normalisation takes its statistics over so many. 0:
  // all that are computed at once, the batch, or its parts where a loader splits it. A part is a multiple of
  // it.
  std::int64_t bn_batch = 0;
  // Factor of the gradient alone. 1 is the loss's own; official Barlow Twins code on W processes has 1/W, as
  // its sum over processes is not seen by autograd, and the processes' gradients are then averaged.
  double gradient_scale = 1;
};

// Each view is a forward pass of its own, as in the official codes: it has its own batch statistics, and
// running statistics move twice, by the first view and then by the second; with several ghost batches in the
// order batch 1 view 1, batch 1 view 2, batch 2 view 1, …. A batch that a loader splits is computed in two
// passes (train/two_pass.h), with the same result as unsplit with that bn_batch.
//
// The module may hold anything that computes the same in both passes: dropout layers do, dropout() of numbers
// that next_draw() gives does not. A batch's metrics are its own times its samples, so that an epoch's are
// means over samples.
class TwoViewObjective : public TwoPassObjective {
 public:
  Module& module() final { return net_; }
  PartLoss loss(const data::Part& part) final;
  PartLoss evaluate(const data::Part& part) final;  // throws Error: it takes two augmented views
  std::vector<std::pair<std::string, std::string>> options() const override;
  // Two views; batches, parts and ghost batches of at least two samples; parts that are made of whole ghost
  // batches.
  void check_loader(const data::Loader& loader) const final;

  void collect(const data::Part& part) final;
  PartLoss collected_loss() final;
  Tensor product_with_gradient(const data::Part& part) final;

  // Whether these means over an epoch are those of embeddings that have collapsed, to a point or to few
  // directions: a sentence with the values, or nothing. Embeddings of an untrained network may look collapsed
  // too: what is better than at the run's `start`, the means over its first epoch, is none.
  virtual std::string collapse(const Metrics& means, const Metrics& start) const = 0;

 protected:
  // Throws UsageError for options out of range.
  TwoViewObjective(Module& net, const TwoViewOptions& options);

  virtual PartLoss whole_loss(const train::Embeddings& z) const = 0;     // of a whole batch, with a history
  virtual std::unique_ptr<train::EmbeddingBatch> new_batch() const = 0;  // of one that comes in parts
  std::int64_t embedding_size() const { return embedding_size_; }        // D of the last batch; 0 before it
  std::int64_t batch_samples() const { return batch_samples_; }          // N of it

 private:
  train::Embeddings embed(const data::Part& part);
  train::Embeddings of_all_ranks();
  PartLoss summed(PartLoss of_batch, std::int64_t samples) const;

  Module& net_;
  TwoViewOptions options_;
  std::int64_t embedding_size_ = 0, batch_samples_ = 0;
  // Of a batch that comes in two passes.
  std::unique_ptr<train::EmbeddingBatch> batch_;
  std::vector<train::Embeddings> own_;          // of several ranks: one's own share's, until all are known
  std::optional<train::SpareBuffers> buffers_;  // as the first pass leaves them
  std::int64_t begin_ = 0, collected_ = 0;      // samples of the batch: before one's share, and collected
};

}  // namespace lamina
