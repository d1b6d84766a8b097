// Classification: the mean cross-entropy of a module's logits, images [N, H, W, C] -> [N, classes].
#pragma once

#include "train/objective.h"

namespace lamina {

struct ClassificationOptions {
  double label_smoothing = 0;  // of the training loss alone; 0 … 1 (Szegedy et al. 2016)
};

class Classification final : public Objective {
 public:
  // The module must outlive this. Throws UsageError for label smoothing out of range.
  explicit Classification(Module& net, const ClassificationOptions& options = {});

  std::string name() const override { return "classification"; }
  Module& module() override { return net_; }
  PartLoss loss(const data::Part& part) override { return measure(part, options_.label_smoothing); }
  PartLoss evaluate(const data::Part& part) override { return measure(part, 0); }
  std::vector<MetricInfo> metrics() const override { return {{.name = "accuracy"}}; }
  std::vector<std::pair<std::string, std::string>> options() const override;

 private:
  PartLoss measure(const data::Part& part, double label_smoothing);

  Module& net_;
  ClassificationOptions options_;
};

}  // namespace lamina
