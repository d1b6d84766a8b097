// Work that is done again and again, like a training step, handed to a GPU as a whole: the host then takes no
// time from it, however many kernels there are.
//
//   Recorded step(device, [&](const Tensor& images, const Tensor& labels) {
//     cross_entropy(net(images), labels).backward();  optimizer.apply_step();
//   });
//   for (auto [images, labels] : batches) {  …  step.run(images, labels); }
//
// The first run is an ordinary one, in which libraries choose their algorithms; the second records what is
// handed to the GPU (a CUDA graph); from then on the recording is replayed, and the function not called.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/backend.h"

namespace lamina {

struct RecordedOptions {
  bool record = true;  // false: every run calls the function, for debugging. Results are the same.
};

// `work` takes the tensors that run() is given, or copies in a place of their own, which a recording reads.
// Whatever else it reads must stay where it is, and it must do the same at every run: numbers that the host
// computes are recorded as they were. It must not read results back nor upload anything: Error. What it makes
// holds until the next run of any Recorded on this device. On the CPU every run calls it.
class Recorded {
 public:
  template <typename Work>
  Recorded(Device device, Work work, RecordedOptions options = {})
      : Recorded(device, options, on_list(std::function(std::move(work)))) {}

  // Inputs: as many tensors on the device as the work takes, without gradients. Those of other shapes than
  // the last start a new recording. Throws what the work throws, and DeviceError for what cannot be recorded;
  // then nothing has been.
  template <typename... Inputs>
  void run(const Inputs&... inputs) {
    run_on(std::array<Tensor, sizeof...(Inputs)>{inputs...});
  }

 private:
  using OnList = std::function<void(std::span<const Tensor>)>;
  Recorded(Device device, RecordedOptions options, OnList work);

  template <typename... Inputs>
  static OnList on_list(std::function<void(Inputs...)> work) {
    return [work](std::span<const Tensor> inputs) {
      check_count(inputs.size(), sizeof...(Inputs));
      [&]<std::size_t... I>(std::index_sequence<I...>) { work(inputs[I]...); }
      (std::index_sequence_for<Inputs...>{});
    };
  }
  static void check_count(std::size_t given, std::size_t taken);
  void run_on(std::span<const Tensor> inputs);
  std::unique_ptr<Recording> record();
  void place(std::span<const Tensor> inputs);

  Backend& backend_;
  OnList work_;
  bool record_, has_run_ = false;
  std::vector<Tensor> inputs_;  // that a recording reads
  std::unique_ptr<Recording> recording_;
};

}  // namespace lamina
