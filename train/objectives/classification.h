// Classification: the mean cross-entropy of a module's logits, images [N, H, W, C] -> [N, classes].
#pragma once

#include "train/objective.h"

namespace lamina {

struct ClassificationOptions {
  double label_smoothing = 0;  // of the training loss alone; 0 … 1 (Szegedy et al. 2016)
  // α of mixup (train/objectives/mixup.h), in training alone: the loss is λ CE(yᵢ) + (1 − λ) CE(yⱼ), and so
  // is the accuracy. 0: none; the paper takes 1 for CIFAR-10 and 0.2 for ImageNet. With micro-batches the
  // images of a part are mixed among themselves. On the CPU alone: a GPU's step is captured.
  double mixup = 0;
};

class Classification final : public Objective {
 public:
  // The module must outlive this. Throws UsageError for label smoothing or mixup out of range.
  explicit Classification(Module& net, const ClassificationOptions& options = {});

  std::string name() const override { return "classification"; }
  Module& module() override { return net_; }
  // Throws Error for mixup of images on a GPU.
  PartLoss loss(const data::Part& part) override;
  PartLoss evaluate(const data::Part& part) override { return of_logits(net_(part.images()), part); }
  std::vector<MetricInfo> metrics() const override { return {{.name = "accuracy"}}; }
  std::vector<std::pair<std::string, std::string>> options() const override;

  // The loss and the accuracy that logits [n, classes] of a part have.
  static PartLoss of_logits(const Tensor& logits, const data::Part& part, double label_smoothing = 0);

 private:
  PartLoss mixed_loss(const data::Part& part);

  Module& net_;
  ClassificationOptions options_;
};

}  // namespace lamina
