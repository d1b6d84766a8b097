#include "core/recorded.h"

#include <utility>

namespace lamina {

Recorded::Recorded(Device device, std::function<void()> work, RecordedOptions options)
    : backend_(backend_for(device)),
      work_(std::move(work)),
      record_(options.record && device.type != DeviceType::cpu) {}

void Recorded::run() {
  if (!record_) return work_();
  if (!has_run_) {
    backend_.rehearse(work_);
    has_run_ = true;
    return;
  }
  if (recording_ == nullptr) recording_ = backend_.record(work_);
  recording_->replay();
}

}  // namespace lamina
