// Work that is done again and again, like a training step, handed to a GPU as a whole: the host then takes no
// time from it, however many kernels there are.
//
//   Recorded step(device, [&] { cross_entropy(net(images), labels).backward();  optimizer.apply_step(); });
//   for (…) { images.copy_from(batch.images);  …  step.run(); }
//
// The first run is an ordinary one, in which libraries choose their algorithms; the second records what is
// handed to the GPU (a CUDA graph); from then on the recording is replayed, and the function not called.
#pragma once

#include <functional>
#include <memory>

#include "core/backend.h"

namespace lamina {

struct RecordedOptions {
  bool record = true;  // false: every run calls the function, for debugging. Results are the same.
};

// `work` must read its inputs from tensors that stay where they are, and do the same at every run: numbers
// that the host computes are recorded as they were. It must not read results back nor upload anything: Error.
// What it makes holds until the next run of any Recorded on this device. On the CPU every run calls it.
class Recorded {
 public:
  Recorded(Device device, std::function<void()> work, RecordedOptions options = {});

  // Throws what the work throws; then nothing has been recorded.
  void run();

 private:
  Backend& backend_;
  std::function<void()> work_;
  bool record_, has_run_ = false;
  std::unique_ptr<Recording> recording_;
};

}  // namespace lamina
