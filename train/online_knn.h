// What an encoder has learnt while it is being pretrained: after some epochs the test images are classified
// by their nearest training images, by the features of the backbone (train/knn.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "layers/resnet.h"
#include "train/knn.h"
#include "train/observer.h"

namespace lamina {

struct OnlineKnnOptions {
  std::int64_t every = 5;  // epochs, at least 1; after the last one in any case
  KnnOptions knn = {};
  FeatureOptions features = {};
};

// Adds the column knn_accuracy to epochs.csv. Images are as they are in tests, features those of evaluation
// mode; training sees nothing of it.
class OnlineKnn final : public Observer {
 public:
  // The net must outlive it. Throws UsageError for an `every` below 1, Error without images to classify.
  OnlineKnn(ResNet& net, data::Split bank, data::Split queries, const OnlineKnnOptions& options = {});

  std::string name() const override { return "nearest neighbours"; }
  void start(const TrainingRun& run) override { epochs_ = run.epochs; }
  std::vector<std::string> epoch_columns() const override { return {"knn_accuracy"}; }
  bool measure(EpochResult& result) override;

 private:
  ResNet& net_;
  data::Split bank_, queries_;
  OnlineKnnOptions options_;
  std::int64_t epochs_ = 0;
};

}  // namespace lamina
