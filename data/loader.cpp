#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <utility>

#include "core/backend.h"
#include "core/base/rounding.h"
#include "core/random.h"
#include "data/epoch_plan.h"
#include "data/file.h"

namespace lamina::data {

namespace {

void check_share(const LoaderOptions& options, std::int64_t size) {
  const Share& share = options.share;
  check(share.of >= 1 && share.index >= 0 && share.index < share.of,
        "loader: share {} of {}; expected 0 to {}", share.index, share.of, share.of - 1);
  check(options.batch >= share.of,
        "loader: a batch of {0} samples for {1} ranks; each needs one: choose {1} or more, or fewer ranks",
        options.batch, share.of);
  const std::int64_t last = options.drop_last ? 0 : size % options.batch;
  check(last == 0 || last >= share.of,
        "loader: the last batch of {} images in batches of {} has {}, for {} ranks; each needs one at least: "
        "leave it out (drop_last), or choose another batch",
        size, options.batch, last, share.of);
}

}  // namespace

// Threads that make parts ahead of the consumer. Each takes the next part that nobody has taken, as long as
// it lies less than `prefetch` ahead; a finished part waits in its slot of a ring.
class Epoch::Workers {
 public:
  Workers(std::shared_ptr<const Plan> plan, int count, std::int64_t prefetch)
      : plan_(std::move(plan)),
        slots_(static_cast<std::size_t>(prefetch)),
        next_(plan_->first_part),
        consumed_(plan_->first_part) {
    start_threads(count,
                  [this] { threads_.emplace_back([this](const std::stop_token& stop) { work(stop); }); });
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  bool any() const { return !threads_.empty(); }

  // Parts come in order: `index` is one more than that of the last call.
  MadePart take(std::int64_t index) {
    std::unique_lock lock(mutex_);
    Slot& slot = slot_of(index);
    changed_.wait(lock, [&] { return slot.full; });
    Slot taken = std::exchange(slot, {});
    ++consumed_;
    lock.unlock();
    changed_.notify_all();
    if (taken.error) plan_->rethrow(taken.error, index);
    return std::move(taken.made);
  }

 private:
  struct Slot {
    MadePart made;
    std::exception_ptr error;
    bool full = false;
  };

  Slot& slot_of(std::int64_t index) { return slots_[static_cast<std::size_t>(index) % slots_.size()]; }

  void work(const std::stop_token& stop) {
    const SerialScope serial;  // the machine's other cores belong to the training step
    std::unique_lock lock(mutex_);
    while (true) {
      const auto ahead = static_cast<std::int64_t>(slots_.size());
      changed_.wait(lock, stop, [&] { return next_ == plan_->parts() || next_ - consumed_ < ahead; });
      if (stop.stop_requested() || next_ == plan_->parts()) return;
      const std::int64_t index = next_++;
      lock.unlock();
      Slot made = make(index);
      lock.lock();
      slot_of(index) = std::move(made);
      changed_.notify_all();
    }
  }
  Slot make(std::int64_t index) const {
    Slot slot;
    slot.full = true;
    try {
      slot.made = plan_->make(index);
    } catch (...) {
      slot.error = std::current_exception();
    }
    return slot;
  }

  std::shared_ptr<const Plan> plan_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Slot> slots_;
  std::int64_t next_;                  // part that no worker has taken
  std::int64_t consumed_;              // parts before it have left their slots
  std::vector<std::jthread> threads_;  // last: stopped and joined before the rest goes
};

Epoch::Epoch(std::shared_ptr<const Plan> plan, int workers, std::int64_t prefetch)
    : plan_(std::move(plan)), next_(plan_->first_part) {
  if (workers > 0) workers_ = std::make_unique<Workers>(plan_, workers, prefetch);
  if (workers_ && !workers_->any()) workers_.reset();  // the system gives no thread: parts are made here
}
Epoch::Epoch(Epoch&&) noexcept = default;
Epoch& Epoch::operator=(Epoch&&) noexcept = default;
Epoch::~Epoch() = default;

Epoch::Iterator Epoch::begin() {
  if (!started_) {
    started_ = true;
    advance();
  }
  return Iterator(this);
}

void Epoch::advance() {
  current_ = {};  // its memory is free for the next one
  incomplete_ = {};
  if (next_ == plan_->parts()) {
    done_ = true;
    workers_.reset();
    return;
  }
  const std::int64_t index = next_++;
  MadePart made;
  if (workers_) {
    made = workers_->take(index);
  } else {
    try {
      made = plan_->make(index);
    } catch (const std::exception&) {
      plan_->rethrow(std::current_exception(), index);
    }
  }
  current_ = plan_->finish(std::move(made));
  if (!current_.completes_batch) incomplete_ = mark_incomplete_batch();
}

Loader::Loader(Split split, LoaderOptions options) : split_(std::move(split)), options_(std::move(options)) {
  const std::int64_t size = split_.size();
  check(size > 0, "loader: the split is empty");
  check(split_.images.rank() == 4 && split_.images.dtype() == DType::u8,
        "loader: images are {}; expected u8 [N, H, W, C]", split_.images.str());
  check(size <= std::numeric_limits<std::int32_t>::max(), "loader: {} images; at most 2^31 - 1 fit", size);
  check(split_.labels.elements() == size, "loader: {} labels for {} images", split_.labels.elements(), size);
  const auto channels = static_cast<std::size_t>(split_.channels());
  check(split_.mean.size() == channels && split_.std.size() == channels,
        "loader: {} means and {} standard deviations for {} channels", split_.mean.size(), split_.std.size(),
        channels);
  check(options_.batch > 0 && options_.micro_batch >= 0, "loader: batch {}, micro_batch {}; must be positive",
        options_.batch, options_.micro_batch);
  check(options_.batch <= size,
        "loader: a batch of {} from a data set of {} images; use a batch of at most {}", options_.batch, size,
        size);
  check(options_.passes == 1 || options_.passes == 2, "loader: {} passes over each batch; expected 1 or 2",
        options_.passes);
  check_share(options_, size);
  check(options_.views >= 1 && options_.views <= most_views,
        "loader: {} views of every sample; expected 1 to {}", options_.views, most_views);
  check(options_.workers >= 0 && options_.workers <= most_workers, "loader: {} workers; expected 0 to {}",
        options_.workers, most_workers);
  check(options_.prefetch > 0, "loader: prefetch {}; expected at least 1", options_.prefetch);
  check(options_.augment.padding >= 0 && options_.augment.padding <= 1024,
        "loader: augmentation pads by {} pixels; expected 0 to 1024", options_.augment.padding);
  check(options_.augment.cutout >= 0, "loader: a cutout of {} pixels; expected 0 or more",
        options_.augment.cutout);
  if (options_.recipe) check_view_recipe(*options_.recipe, split_.channels());
  if (options_.transform) split_.images = split_.images.to(Device::cpu());
  if (!options_.seed) options_.seed = seed();
}

std::int64_t Loader::batches() const {
  return options_.drop_last ? split_.size() / options_.batch : ceil_div(split_.size(), options_.batch);
}

std::int64_t Loader::samples() const {
  return options_.drop_last ? batches() * options_.batch : split_.size();
}

Epoch Loader::epoch(std::int64_t epoch, Device device, std::int64_t first_batch) const {
  check(epoch >= 0 && epoch <= std::numeric_limits<std::uint32_t>::max(),
        "loader: epoch {}; expected 0 to 2^32 - 1", epoch);
  check(first_batch >= 0 && first_batch <= batches(), "loader: batch {} of an epoch of {}", first_batch,
        batches());
  auto plan = std::make_shared<Epoch::Plan>();
  plan->split = split_;
  plan->options = options_;
  plan->seed = *options_.seed;
  plan->epoch = epoch;
  plan->samples = samples();
  plan->device = device;
  if (options_.shuffle) {
    plan->order =
        permutation(split_.size(), {plan->seed, Stream::shuffle, static_cast<std::uint32_t>(epoch), 0});
  } else {
    plan->order.resize(static_cast<std::size_t>(split_.size()));
    std::iota(plan->order.begin(), plan->order.end(), std::int64_t{0});
  }
  plan->first_part = first_batch < batches() ? first_batch * plan->parts_per_batch() : plan->parts();
  // What a GPU makes it makes in order, so that workers would only wait for one another.
  const bool on_cpu = split_.images.device().type == DeviceType::cpu;
  const auto workers = on_cpu ? std::min<std::int64_t>(options_.workers, options_.prefetch) : 0;
  return {std::move(plan), static_cast<int>(workers), options_.prefetch};
}

Loader evaluation_loader(const Split& split, std::int64_t batch, int workers) {
  return Loader(split, {.batch = std::min(batch, std::max<std::int64_t>(1, split.size())),
                        .shuffle = false,
                        .workers = workers});
}

}  // namespace lamina::data
