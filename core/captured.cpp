#include "core/captured.h"

#include <algorithm>

#include "core/base/error.h"

namespace lamina {

Captured::Captured(Device device, CapturedOptions options, OnList work)
    : backend_(backend_for(device)),
      work_(std::move(work)),
      captures_(options.capture && device.type != DeviceType::cpu) {}

void Captured::check_count(std::size_t given, std::size_t taken) {
  check(given == taken, "captured work: run() was given {} tensors; the function takes {}", given, taken);
}

void Captured::run(std::span<const Tensor> inputs) {
  if (!captures_) return work_(inputs);
  place(inputs);
  if (!has_run_) {
    backend_.warm_up([this] { work_(inputs_); });
    has_run_ = true;
    return;
  }
  if (graph_ == nullptr) graph_ = capture();
  graph_->replay();
}

std::unique_ptr<Graph> Captured::capture() {
  try {
    return backend_.capture([this] { work_(inputs_); });
  } catch (const DeviceError& error) {
    throw DeviceError(
        fmt::format("{}. Without a capture it may work: CapturedOptions{{.capture = false}}", error.what()));
  }
}

// Copies: the caller's tensors stay as they are when the next ones come.
void Captured::place(std::span<const Tensor> inputs) {
  const auto same_form = [](const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype();
  };
  if (std::equal(inputs.begin(), inputs.end(), inputs_.begin(), inputs_.end(), same_form)) {
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs_[i].copy_from(inputs[i]);
    return;
  }
  graph_.reset();
  has_run_ = false;
  inputs_.clear();
  for (const Tensor& input : inputs) inputs_.push_back(input.clone());
}

}  // namespace lamina
