// Work that is done again and again, like a training step, handed to a GPU as a whole: the host then takes no
// time from it, however many kernels there are.
//
//   Captured step(device, [&](const Tensor& images, const Tensor& labels) {
//     cross_entropy(net(images), labels).backward();  optimizer.apply_step();
//   });
//   for (auto [images, labels] : batches) {  …  step.run(images, labels); }
//
// The first run is an ordinary one, in which libraries choose their algorithms; the second captures what is
// handed to the GPU in a graph; from then on the graph is replayed, and the function not called.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/backend.h"

namespace lamina {

struct CapturedOptions {
  bool capture = true;  // false: every run calls the function, for debugging. Results are the same.
};

// `work` takes the tensors that run() is given, or copies in a place of their own, which a graph reads.
// Whatever else it reads must stay where it is, and it must do the same at every run: numbers that the host
// computes are captured as they were. It must not read results back nor upload anything: Error. What it makes
// holds until the next run of any Captured on this device. On the CPU every run calls it.
class Captured {
 public:
  // Work: a function of some number of tensors, or of a list of any length, std::span<const Tensor>.
  template <typename Work>
  Captured(Device device, Work work, CapturedOptions options = {})
      : Captured(device, options, on_list(std::function(std::move(work)))) {}

  // Inputs: as many tensors on the device as the work takes, without gradients. Those of other shapes or
  // another number than the last start a new capture. Throws what the work throws, and DeviceError for what
  // cannot be captured; then nothing has been.
  void run(std::span<const Tensor> inputs);
  template <std::same_as<Tensor>... Inputs>
  void run(const Inputs&... inputs) {
    const std::array<Tensor, sizeof...(Inputs)> list{inputs...};
    run(std::span<const Tensor>(list));
  }

 private:
  using OnList = std::function<void(std::span<const Tensor>)>;
  Captured(Device device, CapturedOptions options, OnList work);

  static OnList on_list(OnList work) { return work; }
  template <typename... Inputs>
  static OnList on_list(std::function<void(Inputs...)> work) {
    return [work](std::span<const Tensor> inputs) {
      check_count(inputs.size(), sizeof...(Inputs));
      [&]<std::size_t... I>(std::index_sequence<I...>) { work(inputs[I]...); }
      (std::index_sequence_for<Inputs...>{});
    };
  }
  static void check_count(std::size_t given, std::size_t taken);
  std::unique_ptr<Graph> capture();
  void place(std::span<const Tensor> inputs);

  Backend& backend_;
  OnList work_;
  bool captures_, has_run_ = false;
  std::vector<Tensor> inputs_;  // that the graph reads
  std::unique_ptr<Graph> graph_;
};

}  // namespace lamina
