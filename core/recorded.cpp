#include "core/recorded.h"

#include <algorithm>

#include "core/error.h"

namespace lamina {

Recorded::Recorded(Device device, RecordedOptions options, OnList work)
    : backend_(backend_for(device)),
      work_(std::move(work)),
      record_(options.record && device.type != DeviceType::cpu) {}

void Recorded::check_count(std::size_t given, std::size_t taken) {
  check(given == taken, "recorded work: run() was given {} tensors; the function takes {}", given, taken);
}

void Recorded::run_on(std::span<const Tensor> inputs) {
  if (!record_) return work_(inputs);
  place(inputs);
  if (!has_run_) {
    backend_.rehearse([this] { work_(inputs_); });
    has_run_ = true;
    return;
  }
  if (recording_ == nullptr) recording_ = record();
  recording_->replay();
}

std::unique_ptr<Recording> Recorded::record() {
  try {
    return backend_.record([this] { work_(inputs_); });
  } catch (const DeviceError& error) {
    throw DeviceError(
        fmt::format("{}. Without a recording it may work: --eager, or "
                    "RecordedOptions{{.record = false}} in code",
                    error.what()));
  }
}

// Copies: the caller's tensors stay as they are when the next ones come.
void Recorded::place(std::span<const Tensor> inputs) {
  const auto same_form = [](const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype();
  };
  if (std::equal(inputs.begin(), inputs.end(), inputs_.begin(), inputs_.end(), same_form)) {
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs_[i].copy_from(inputs[i]);
    return;
  }
  recording_.reset();
  has_run_ = false;
  inputs_.clear();
  for (const Tensor& input : inputs) inputs_.push_back(input.clone());
}

}  // namespace lamina
