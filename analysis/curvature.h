// Curvature over a run: after some epochs, on the same samples each time, the largest and the smallest
// eigenvalue of the Hessian and its trace, of every layer as well, beside the layer's learning rate.
//
// curvature.csv has a row for each measurement: epoch, step, loss, grad_norm, lambda_1, residual, lambda_min,
// trace, trace_stderr, frobenius, lr, products. curvature.safetensors has [measurements, layers] tensors
// weight_norm, trace, trace_stderr and lr, the rate that the layer's last step was taken with (NaN before the
// first), where asked for eigenvalue, λ₁ of the layer's block, and [measurements] epoch; its metadata names
// the layers, the mode of batch normalisation and the samples.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/fixed_samples.h"
#include "analysis/loss_surface.h"
#include "analysis/sharpness.h"
#include "core/files/safetensors.h"
#include "train/observer.h"

namespace lamina::analysis {

struct CurvatureOptions {
  std::int64_t every = 1;  // epochs; before the first and after the last one in any case
  BatchNormMode batch_norm = BatchNormMode::eval;
  EigenOptions eigenvalues = {.tolerance = 1e-2, .max_steps = 30};
  TraceOptions trace = {.least_probes = 8, .most_probes = 8};
  std::optional<LayerOptions> layers = {};  // for the largest eigenvalue of each block
};

// Both are written with the run's checkpoints. Adds the column lambda_1 to epochs.csv. Lanczos starts from
// what the last measurement found, which is kept in curvature.safetensors, so that a resumed run finds the
// same. Training sees nothing of it.
class Curvature final : public Observer {
 public:
  // Throws UsageError for an `every` below 1.
  explicit Curvature(std::vector<data::Part> samples, const CurvatureOptions& options = {});
  ~Curvature() override;

  std::string name() const override { return "curvature"; }
  void start(const TrainingRun& run) override;
  void step(TrainedStep& step) override { last_step_ = step.report; }
  std::vector<std::string> epoch_columns() const override { return {"lambda_1"}; }
  bool measure(EpochResult& result) override;
  void save() override;

 private:
  struct Log;  // curvature.csv
  struct LayerColumns {
    std::vector<float> weight_norm, trace, trace_stderr, lr, eigenvalue;  // [measurements, layers]
  };
  bool measure_at(std::int64_t epoch);  // false: a signal came in between
  void add_layers(std::int64_t epoch, const Sharpness& found);
  void resume(const TrainingPosition& position);
  void write_rows();
  void take_rates();
  double rate(std::size_t index) const;  // of rates_

  std::vector<data::Part> samples_;
  CurvatureOptions options_;
  std::optional<LossSurface> surface_;
  std::filesystem::path directory_;  // empty: nothing is written
  std::unique_ptr<Log> log_;         // null: not yet
  std::int64_t known_through_ = -1;  // the epoch up to which the file's rows are the run's
  std::vector<std::string> rows_;    // that are still to be written
  const TrainingRun* run_ = nullptr;
  std::int64_t epochs_ = 0;
  double lambda_1_ = 0;
  std::vector<Layer> layers_;
  std::vector<std::int32_t> measured_epochs_;
  LayerColumns columns_;
  StepReport last_step_;
  Tensor rates_;  // f64 [1 + layers]: of the last step, the schedule's and each layer's; undefined: none yet
  Tensor warm_start_;             // for the next measurement; undefined: none yet
  std::int64_t saved_step_ = -1;  // when both were last saved
  Tensor saved_rates_, saved_start_;
};

}  // namespace lamina::analysis
