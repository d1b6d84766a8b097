// The linear evaluation of the public TVLARS code (KhoiDOO/tvlars@b331dcf), as it is: a last layer trained by
// SGD on a frozen backbone. Four things of it bend the number, and each can be done right instead; with all
// of them right it is the usual protocol of linear probes by SGD. train/linear_probe.h has a better one.
#pragma once

#include <cstdint>
#include <functional>

#include "data/dataset.h"
#include "layers/resnet.h"

namespace lamina {

struct OfficialProbeOptions {
  // The backbone normalises by the statistics of each batch, in tests too, and its running statistics move:
  // frozen are its parameters alone. Off: evaluation mode, and nothing moves.
  bool training_mode = true;
  // Test images are cropped and mirrored at random, too. Off: they are as they are.
  bool test_crops = true;
  // The cosine is stepped at every iteration but made for 100 epochs: it swings between lr and 0 with a
  // period of 200 iterations. Off: from lr to 0 once, over all epochs.
  bool cosine_by_iteration = true;
  // A quarter of the test set, that of the first of four processes: images 0, 4, 8, … Off: all of it.
  bool one_shard = true;

  int epochs = 100;
  std::int64_t batch = 256;
  double lr = 0.3, momentum = 0.9, weight_decay = 5e-4;
  std::uint64_t seed = 1;  // of the last layer's start, the order and the crops
  int workers = 2;
  std::function<void(int epoch, double loss)> on_epoch = {};  // from 1; the mean over the epoch
  std::function<void()> on_batch = {};                        // after each; what it throws is thrown on
};

struct OfficialProbe {
  double top1 = 0, top5 = 0;  // 0 … 1, after the last epoch
  std::int64_t correct = 0, samples = 0;
  int classes = 0;
  std::int64_t width = 0;
};

// The last layer starts with N(0, 0.01) and bias 0. Training images are cropped (8 … 100 % of the area,
// bilinear) and mirrored; all images are normalised with the split's mean and std. The learning rate of
// iteration t is lr (1 + cos(2π t / period)) / 2.
// Throws UsageError for options out of range and, before anything is trained, for a last batch of one image
// that leaves a batch normalisation in training mode a single value; Error for what a data::Loader refuses,
// for a loss that is not finite, and if a parameter of the backbone has changed, or in evaluation mode a
// buffer.
OfficialProbe official_probe(ResNet& backbone, const data::Split& train, const data::Split& test, int classes,
                             const OfficialProbeOptions& options = {});

}  // namespace lamina
