// How the losses of two views' embeddings are computed: from a batch's rows that are added part by part, and
// then back to each part. A whole batch is one part.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/tensor.h"
#include "train/objective.h"

namespace lamina::train {

// z_a and z_b, both [n, D]: row i of both is of one sample.
struct Embeddings {
  Tensor a, b;
};

// What a loss has to know of all the embeddings of a batch, and its gradient in closed form. All of it is
// computed without a history.
class EmbeddingBatch {
 public:
  EmbeddingBatch() = default;
  EmbeddingBatch(const EmbeddingBatch&) = delete;
  EmbeddingBatch& operator=(const EmbeddingBatch&) = delete;
  virtual ~EmbeddingBatch() = default;

  virtual void add(const Embeddings& z) = 0;
  // Once all have been added: the loss L, and as metrics the quantities that it is made of.
  virtual PartLoss finish() = 0;
  // After that: ∂L/∂z of rows that were added as first, first + 1, …
  virtual Embeddings gradients(const Embeddings& z, std::int64_t first) const = 0;
};

// The loss of a whole batch, with its metrics. Its gradient is batch's closed form; where a second derivative
// is wanted it is that of `composed`, which gives the same loss from ops.
PartLoss loss_of(const char* name, const Embeddings& z, std::unique_ptr<EmbeddingBatch> batch,
                 const std::function<Tensor(const Embeddings&)>& composed);

// Throws Error unless both are floating, of one dtype, shape [N, D] and device, with at least 2 rows.
void check_embeddings(const char* name, const Embeddings& z);

}  // namespace lamina::train
