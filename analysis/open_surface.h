// The loss surface of a run, a checkpoint or a weight file: its network, what it minimised, and images of its
// data as they are, unaugmented, always the same ones.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "analysis/fixed_samples.h"
#include "analysis/loss_surface.h"
#include "train/load_model.h"
#include "train/setup.h"

namespace lamina::analysis {

struct SurfaceOptions {
  std::string file;             // RUN|FILE
  std::string data;             // "NAME[:DIR]"; empty: what the run was trained on
  std::string split = "train";  // or "test"
  FixedSamples samples = {};
  BatchNormMode batch_norm = BatchNormMode::eval;
  train::ModelOptions model = {};      // for files that do not say
  std::optional<int> image_size = {};  // unset: as in training
  bool skip_damaged = false;
  std::optional<std::int64_t> max_pixels = {};
};

class OpenedSurface {
 public:
  // The loss is that of the run's objective, label smoothing included; of a file that knows no run the
  // cross-entropy. Of a self-supervised run the samples have the views of its first epoch. Throws UsageError
  // for options that make no sense or are missing, as more samples than there are; Error for files and data
  // that are not there or do not fit.
  explicit OpenedSurface(const SurfaceOptions& options);

  LossSurface& surface() { return *surface_; }
  Module& net() { return objective_->module(); }

  // What stands beside every number: file, model, data, split, samples, micro_batch, epoch, objective.
  nlohmann::json describe() const;
  std::string title() const;  // "runs/a/weights.safetensors (resnet8, epoch 10) on 1,024 training images …"

 private:
  void open_run(const SurfaceOptions& options, const train::FoundWeights& weights,
                const nlohmann::json& config);
  void open_file(const SurfaceOptions& options);
  void make_surface(const SurfaceOptions& options, const data::Split& split, Device device);

  std::string file_, model_, data_, split_;
  std::optional<std::int64_t> epoch_;
  std::int64_t micro_batch_ = 0;
  std::optional<data::ViewRecipe> views_;
  std::optional<train::Setup> run_;
  std::optional<train::LoadedModel> loaded_;
  std::unique_ptr<Objective> of_file_;
  Objective* objective_ = nullptr;
  std::unique_ptr<LossSurface> surface_;
};

}  // namespace lamina::analysis
