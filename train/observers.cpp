#include "train/observers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/memory/allocator.h"

namespace lamina::train {

void Observers::start(const TrainingRun& run) {
  for (const Watcher& watcher : watchers_) {
    try {
      watcher.observer->start(run);
    } catch (const UsageError&) {
      throw;
    } catch (const OutOfMemory&) {
      throw;
    } catch (const std::exception& error) {
      fail("observer {}: {}", watcher.observer->name(), error.what());
    }
  }
}

std::vector<std::string> Observers::columns() const {
  std::vector<std::string> all;
  for (const Watcher& watcher : watchers_)
    for (std::string& name : watcher.observer->columns()) all.push_back(std::move(name));
  return all;
}

std::vector<std::string> Observers::epoch_columns() const {
  std::vector<std::string> all;
  for (const Watcher& watcher : watchers_)
    for (std::string& name : watcher.observer->epoch_columns()) all.push_back(std::move(name));
  return all;
}

bool Observers::wants_parts() const {
  return std::any_of(watchers_.begin(), watchers_.end(),
                     [](const Watcher& watcher) { return watcher.observer->wants_parts(); });
}

bool Observers::tell(const std::function<void(Observer&)>& event) {
  bool well = true;
  for (Watcher& watcher : watchers_) well = tell(watcher, event) && well;
  return well;
}

bool Observers::tell(Watcher& watcher, const std::function<void(Observer&)>& event) {
  if (watcher.failure) return true;
  try {
    event(*watcher.observer);
    return true;
  } catch (const std::exception& error) {
    watcher.failure = {.observer = watcher.observer->name(),
                       .what = error.what(),
                       .has_columns = !watcher.observer->columns().empty()};
    return false;
  }
}

void Observers::step(TrainedStep& step) {
  for (Watcher& watcher : watchers_) {
    const std::size_t before = step.measured.size(), columns = watcher.observer->columns().size();
    tell(watcher, [&](Observer& observer) {
      observer.step(step);
      check(step.measured.size() == before + columns,
            "step {}: {} values measured before it and {} after it, but it has {} columns", step.report.step,
            before, step.measured.size(), columns);
    });
    step.measured.resize(before + columns, no_measurement);
  }
}

bool Observers::measure(EpochResult& result) {
  bool whole = true;
  for (Watcher& watcher : watchers_) {
    const std::size_t before = result.measured.size(), columns = watcher.observer->epoch_columns().size();
    tell(watcher, [&](Observer& observer) {
      whole = observer.measure(result) && whole;
      check(!whole || result.measured.size() == before + columns,
            "epoch {}: {} values measured before it and {} after it, but it has {} columns", result.epoch,
            before, result.measured.size(), columns);
    });
    result.measured.resize(before + columns, no_measurement);
  }
  return whole;
}

const Observers::Failure* Observers::failure() const {
  for (const Watcher& watcher : watchers_)
    if (watcher.failure) return &*watcher.failure;
  return nullptr;
}

}  // namespace lamina::train
