// The loss surface of a classifier: a run or a weight file, and training images as they are, always the same.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "analysis/loss_surface.h"
#include "train/load_model.h"
#include "train/objectives/classification.h"

namespace lamina::app {

struct SurfaceOptions {
  std::string file;                // RUN|FILE
  std::string data;                // "NAME[:DIR]"; empty: what the run was trained on
  std::int64_t samples = 1024;     // the first of a fixed random order; 0: all
  std::int64_t micro_batch = 256;  // computed at once
  int workers = 2;
  train::ModelOptions model = {};
  std::optional<int> image_size = {};  // unset: as in training
  bool skip_damaged = false;
  std::optional<std::int64_t> max_pixels = {};
};

class OpenedSurface {
 public:
  // Throws UsageError for more samples than there are and data that are not named, Error for files and data
  // that are not there or do not fit.
  explicit OpenedSurface(SurfaceOptions options);

  analysis::LossSurface& surface() { return *surface_; }
  Module& net() { return model_->net; }

  nlohmann::json describe() const;  // file, model, data, split, samples, micro_batch
  std::string title() const;  // "runs/a/weights.safetensors (resnet8) on 1,024 training images of cifar10"

 private:
  SurfaceOptions options_;
  std::string data_;  // their name, without a folder
  std::optional<train::LoadedModel> model_;
  std::unique_ptr<Classification> objective_;
  std::unique_ptr<analysis::LossSurface> surface_;
};

}  // namespace lamina::app
