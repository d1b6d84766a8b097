// Where to compute, and how.
#pragma once

#include <string>

#include "core/base/number.h"
#include "core/device.h"
#include "core/dtype.h"

namespace lamina::train {

inline constexpr NumberRange thread_range = between(0, 4096), memory_limit_range = between(0, 1e9);

struct DeviceOptions {
  std::string device = "cpu";     // cpu, cuda or cuda:INDEX
  int threads = 0;                // 0: all cores
  std::string precision = "f32";  // of what is computed between the layers; bf16: on a GPU
  bool tf32 = false;              // products of f32 on a GPU by its tensor cores
  bool deterministic = true;      // on a GPU; the CPU always is
  double memory_limit = 0;        // GiB of tensors on the device at any time; 0: all there is
};

// Throws UsageError for values that make no sense, alone or together: an unknown device or precision, bf16 or
// TF32 on the CPU.
void check_options(const DeviceOptions& options);

// Sets all that holds for the whole program and returns the device, once it is certain to work. Throws as
// check_options(), and Error if this build or machine has no such device.
Device use_device(const DeviceOptions& options);

DType activations_of(const DeviceOptions& options);  // ResNetOptions::activations

}  // namespace lamina::train
