// Shuffled, augmented, normalised batches, made ahead of use by worker threads.
//
//   data::Loader train(data.train, {.batch = 1024, .augment = data::standard(), .workers = 2});
//   for (auto [images, labels] : train.epoch(epoch, device)) …
//
// What a batch holds is a pure function of (split, options, epoch, batch index): the number of workers, the
// place where an epoch was resumed and the batches before it change nothing. Nor does the number of views
// change the first one.
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>

#include "core/incomplete_batch.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "data/part.h"
#include "data/transform.h"
#include "data/views.h"

namespace lamina::data {

inline constexpr int most_workers = 256;

// A share of every batch: of n samples those from n index / of up to n (index + 1) / of. Shares follow one
// another, and have the same size where `of` divides the batch.
struct Share {
  std::int64_t index = 0, of = 1;

  std::int64_t begin(std::int64_t samples) const { return samples * index / of; }
  std::int64_t end(std::int64_t samples) const { return samples * (index + 1) / of; }
};

struct LoaderOptions {
  std::int64_t batch = 128;
  std::int64_t micro_batch = 0;  // hand out each batch in parts of at most this many samples; 0: whole
  // Each batch is handed out so often before the next one, each time in the same parts, augmented alike: 2
  // for the losses of train/two_pass.h, which a Trainer sets itself. 1 or 2.
  int passes = 1;
  // What is handed out of each batch, in parts of its own: a rank's share (core/parallel/collective.h), of
  // which no batch may be too small to have one.
  Share share = {};
  Augment augment = none();
  // Called for every view of every sample, before `recipe` and `augment`. It may change the size, as long as
  // all images of a part agree. Images that are on a GPU are then copied to the CPU, where the batches are
  // made.
  ImageTransform transform = {};
  // What the views are drawn from (data/view_recipes.h), of images with 1 or 3 channels; unset: they are the
  // images. `augment` comes after it, and is then most often none() or a cutout.
  std::optional<ViewRecipe> recipe = {};
  int views = 1;              // of every sample, each augmented by random numbers of its own; 1 to 16
  bool shuffle = true;        // a new order every epoch
  bool drop_last = false;     // leave out the last batch of an epoch if it is smaller than `batch`
  int workers = 2;            // 0: the consumer's own thread makes the batches; up to most_workers
  std::int64_t prefetch = 4;  // parts finished or in the making ahead of the consumer, over all workers
  std::optional<std::uint64_t> seed = {};  // default: lamina::seed() when the loader is made
};

// One pass over the data: a range to iterate over once. Leaving the loop early stops and joins the workers.
class Epoch {
 public:
  class Iterator {
   public:
    using value_type = Part;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Epoch* epoch) : epoch_(epoch) {}
    Part& operator*() const { return epoch_->current_; }
    Part* operator->() const { return &epoch_->current_; }
    Iterator& operator++() {
      epoch_->advance();
      return *this;
    }
    void operator++(int) { epoch_->advance(); }
    bool operator==(std::default_sentinel_t) const { return epoch_->done_; }

   private:
    Epoch* epoch_;
  };

  Epoch(Epoch&&) noexcept;
  Epoch& operator=(Epoch&&) noexcept;
  ~Epoch();

  // The first call makes or waits for the first batch. What a worker threw is rethrown where its batch would
  // have come: as Error "loader: epoch 3, batch 17: …"; so is what a transform threw, or gave that is no
  // image of the split's channels or of another size than those before it.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class Loader;
  struct Plan;    // what to make
  class Workers;  // who makes it
  Epoch(std::shared_ptr<const Plan> plan, int workers, std::int64_t prefetch);
  void advance();

  std::shared_ptr<const Plan> plan_;
  std::unique_ptr<Workers> workers_;  // null: made here
  std::int64_t next_ = 0;             // index of the part after current_
  Part current_;
  IncompleteBatch incomplete_;  // while `current_` is not the last of its batch
  bool started_ = false;
  bool done_ = false;
};

class Loader {
 public:
  // Throws Error for an empty split, a batch larger than it, a batch with fewer samples than shares, or
  // options out of range.
  explicit Loader(Split split, LoaderOptions options = {});

  // Batches first_batch … batches() - 1 of an epoch (counted from 0), on `device`. Skipped batches cost
  // nothing. Images that are on the CPU go to a GPU as bytes, while it is at work on the batch before.
  Epoch epoch(std::int64_t epoch, Device device = {}, std::int64_t first_batch = 0) const;

  std::int64_t batches() const;  // per epoch
  std::int64_t samples() const;  // per epoch: size(), or less with drop_last
  const Split& split() const { return split_; }
  const LoaderOptions& options() const { return options_; }

 private:
  Split split_;
  LoaderOptions options_;
};

// For measuring: in order, unaugmented, every sample once; a split smaller than `batch` is one batch.
Loader evaluation_loader(const Split& split, std::int64_t batch = 500, int workers = 2);

}  // namespace lamina::data
