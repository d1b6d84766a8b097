// What training minimises: a module, and the loss that one part of a batch has. A new loss is a subclass:
//
//   class SquaredError : public Objective {
//    public:
//     explicit SquaredError(Module& net) : net_(net) {}
//     std::string name() const override { return "squared error"; }
//     Module& module() override { return net_; }
//     PartLoss loss(const data::Part& part) override {
//       const Tensor error = square(net_(part.images()) - one_hot(part.labels, 10));  // [n, 10]
//       return part.mean(reshape(sum_to(error, {part.size(), 1}), {part.size()}));
//     }
//   };
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "data/loader.h"
#include "layers/module.h"
#include "train/metrics.h"

namespace lamina {

struct PartLoss {
  Tensor loss;                  // scalar with a history: the part's share of the batch's loss
  std::vector<Tensor> metrics;  // scalars, sums over the part's samples, as Objective::metrics() names them

  PartLoss(Tensor share, std::vector<Tensor> sums = {})  // NOLINT(google-explicit-constructor)
      : loss(std::move(share)), metrics(std::move(sums)) {}
};

class Objective {
 public:
  Objective() = default;
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;
  virtual ~Objective() = default;

  virtual std::string name() const = 0;  // "classification"
  virtual Module& module() = 0;          // whose parameters are trained and saved

  // One part, which is the whole batch unless the loader splits it. The losses of a batch's parts add up to
  // the batch's: for a mean over samples that is Part::mean(). On a GPU the work is captured in a graph, so
  // it must do the same in every call, and neither upload anything nor read results back; part.samples and
  // part.batch are then empty.
  virtual PartLoss loss(const data::Part& part) = 0;

  // In evaluation mode and without a history, for tests: of one view, which is not augmented, in parts of any
  // size. An objective over several views or whole batches has one of its own.
  virtual PartLoss evaluate(const data::Part& part) { return loss(part); }

  // What is measured beside the loss. Better epochs are told by the first one, else by the loss.
  virtual std::vector<MetricInfo> metrics() const { return {}; }

  // Whether the loss is of all samples of a batch at once; parts are then refused, unless it is a
  // TwoPassObjective (train/two_pass.h) and they come twice.
  virtual bool needs_whole_batch() const { return false; }

  // Throws UsageError for a loader whose batches it could not do with; a Trainer asks before it starts.
  virtual void check_loader(const data::Loader&) const {}

  // What tells it apart from others of its name, as text: {"label_smoothing", "0.1"}.
  virtual std::vector<std::pair<std::string, std::string>> options() const { return {}; }
};

// loss() or evaluate() of a part, checked: throws Error, naming the objective, for a part where the whole
// batch is needed, a loss that is no scalar or has no history, and metrics that are not scalars or not as
// many as are named.
PartLoss checked_loss(Objective& objective, const data::Part& part);
PartLoss checked_evaluation(Objective& objective, const data::Part& part);

// Forward and backward of one part: gradients are added to those of the parameters. Adds the loss and the
// metrics to `sums` [1 + metrics], floating point on the parameters' device. Of a TwoPassObjective's parts
// those of the first pass add nothing; those of the second the whole batch's loss with the first of them.
void accumulate_gradients(Objective& objective, const data::Part& part, const Tensor& sums);
// Adds what evaluate() gives to `sums`.
void accumulate_evaluation(Objective& objective, const data::Part& part, const Tensor& sums);

// `sums`, read to the host, as the metrics of so many samples.
Metrics metrics_from_sums(const double* sums, std::size_t count, std::int64_t samples);

// Whether a is better: by the objective's first metric, else by the loss.
bool is_better(const Objective& objective, const Metrics& a, const Metrics& b);

}  // namespace lamina
