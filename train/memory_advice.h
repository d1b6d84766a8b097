// What to do where memory runs out: how much the work needs, and the largest part of it that fits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/memory/allocator.h"
#include "data/loader.h"

namespace lamina::train {

// Work on a number of images at once.
struct ImageWork {
  Device device;
  std::string request;      // what the user asked for: "--batch 16384"
  std::string option;       // which option says how many images are computed at once: "--micro-batch"
  std::int64_t images = 1;  // at once, as it was asked for
  std::int64_t batch = 1;   // that the work is a part of
  std::function<void(std::int64_t images)> run;  // what it leaves behind is of no use to anyone
};

// Bytes of tensors at the peak of the work: fixed + per_image × images. Temporary memory of kernels grows to
// a certain size and no further, so that this holds from a few images on, a little above the truth.
struct MemoryNeed {
  double fixed = 0;  // what was there before, as far as `run` does not free it, and temporary memory
  double per_image = 0;
  double of(std::int64_t images) const { return fixed + per_image * static_cast<double>(images); }
};

// Runs the work on 2, 4, 8, … images until these take most of the memory, and compares the last two. Throws
// OutOfMemory if not even two fit.
MemoryNeed measure_need(const ImageWork& work);

// Of the sizes up to `most`: the largest that divides the batch evenly, or else, where that is less than half
// of it, the largest power of two.
std::int64_t convenient_size(std::int64_t batch, std::int64_t most);

// To be called with what `work` has thrown, once all of its memory is free again. Measures and returns an
// error that says how much is needed and how many images at once fit, which is tried out.
OutOfMemory explain(const OutOfMemory& error, const ImageWork& work);

// All the memory of a loader's part of so many images, but no image: zeros, and what its workers hold ahead.
struct BlankPart {
  BlankPart(const data::Loader& loader, Device device, std::int64_t images);
  data::Part part;
  std::vector<Tensor> ahead;
};

}  // namespace lamina::train
