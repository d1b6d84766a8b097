// What an epoch consists of, and how its parts are made: the loader's inside.
#pragma once

#include <algorithm>
#include <exception>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/base/rounding.h"
#include "data/loader.h"

namespace lamina::data {

// A view whose pixels are still to be cut out and normalised, by the device that it is for.
struct UncroppedView {
  Tensor sources;           // u8 [n, H, W, C]
  std::vector<Crop> crops;  // of them
};

// A part as a worker leaves it.
struct MadePart {
  Part part;
  std::vector<UncroppedView> uncropped = {};  // in place of its views, where a GPU crops them
};

// Read by all workers, changed by nobody.
struct Epoch::Plan {
  Split split;
  LoaderOptions options;
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t samples = 0;         // handed out in this epoch
  std::vector<std::int64_t> order;  // of the split's rows
  std::int64_t first_part = 0;      // of first_batch
  Device device;

  std::int64_t part_size() const {
    return options.micro_batch > 0 ? std::min(options.micro_batch, options.batch) : options.batch;
  }
  std::int64_t share_of(std::int64_t batch_samples) const {
    return options.share.end(batch_samples) - options.share.begin(batch_samples);
  }
  std::int64_t parts_of(std::int64_t batch_samples) const {  // over all passes
    return ceil_div(share_of(batch_samples), part_size()) * options.passes;
  }
  std::int64_t parts_per_batch() const { return parts_of(options.batch); }
  std::int64_t parts() const {
    return samples / options.batch * parts_per_batch() + parts_of(samples % options.batch);
  }
  MadePart make(std::int64_t index) const;  // by any thread
  Part finish(MadePart made) const;         // on the device, by the consumer's
  [[noreturn]] void rethrow(std::exception_ptr error, std::int64_t index) const;

 private:
  // Images that are on the CPU go to a GPU as bytes, a quarter of what they are there.
  bool crops_on_gpu() const {
    return device.type == DeviceType::cuda && split.images.device().type == DeviceType::cpu;
  }
  UncroppedView uncropped(std::span<const std::int64_t> rows, int view) const;
  Tensor cropped(const UncroppedView& view) const;
  Tensor transformed(std::span<const std::int64_t> rows, int view) const;
  Tensor recipe_views(const Tensor& sources, std::span<const std::int64_t> rows, int view) const;
};

}  // namespace lamina::data
