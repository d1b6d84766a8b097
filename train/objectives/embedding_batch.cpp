#include "train/objectives/embedding_batch.h"

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/ops/check_ops.h"
#include "core/ops/elementwise.h"

namespace lamina::train {

void check_embeddings(const char* name, const Embeddings& z) {
  check_alike(name, z.a, z.b);
  check(z.a.rank() == 2 && z.a.shape() == z.b.shape(),
        "{}: embeddings {} and {}; expected two of one shape [N, D]", name, z.a, z.b);
  check(z.a.size(0) >= 2 && z.a.size(1) >= 1,
        "{}: embeddings {}: needs at least 2 samples, which it compares, and 1 feature", name, z.a);
}

PartLoss loss_of(const char* name, const Embeddings& z, std::unique_ptr<EmbeddingBatch> rows,
                 const std::function<Tensor(const Embeddings&)>& composed) {
  check_embeddings(name, z);
  const std::shared_ptr<EmbeddingBatch> batch = std::move(rows);  // the backward pass reads it again
  PartLoss result = [&] {
    const NoGrad no_grad;
    batch->add({z.a.detach(), z.b.detach()});
    return batch->finish();
  }();
  result.loss =
      record(name, result.loss, {z.a, z.b},
             [a = Saved(z.a), b = Saved(z.b), batch, composed](const Tensor& grad, Grads& grads) {
               const Embeddings saved{grads.get(a), grads.get(b)};
               if (grad_enabled()) {
                 const std::vector<Tensor> inputs{saved.a, saved.b};
                 return differentiate_composition(inputs, grad, grads, [&](std::span<const Tensor> in) {
                   return composed({in[0], in[1]});
                 });
               }
               const Embeddings gradients = batch->gradients(saved, 0);
               grads.set(0, gradients.a * grad);
               grads.set(1, gradients.b * grad);
             });
  return result;
}

}  // namespace lamina::train
