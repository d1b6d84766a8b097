// Where to compute, and how: what --device, --threads, --precision, --tf32, --no-deterministic and
// --memory-limit mean.
#pragma once

#include <string>

#include "apps/command.h"
#include "core/device.h"
#include "core/dtype.h"

namespace lamina {

struct DeviceOptions {
  std::string device = "cpu";
  int threads = 0;                // 0: all cores
  std::string precision = "f32";  // of what is computed between the layers; bf16: on a GPU
  bool tf32 = false;              // products of f32 on a GPU by its tensor cores
  bool deterministic = true;      // on a GPU; the CPU always is
  double memory_limit = 0;        // GiB of tensors on the device at any time; 0: all there is
};

// What the help says of them, for commands that list them among options of their own.
namespace device_help {
inline constexpr const char* device = "cpu, cuda or cuda:INDEX";
inline constexpr const char* threads = "of computation; 0: all cores; does not change results";
inline constexpr const char* precision = "f32, or bf16 (CUDA only)";
inline constexpr const char* tf32 =
    "CUDA: round the inputs of f32 products to 10 bits of fraction; several times faster";
inline constexpr const char* deterministic = "CUDA: the same bits in every run, even where that takes longer";
inline constexpr const char* memory_limit = "GiB of tensors that the device holds at any time; 0: no limit";
}  // namespace device_help

void add_options(const Command& command, DeviceOptions& options);  // all but --precision
void add_precision(const Command& command, DeviceOptions& options);

// Throws UsageError for values that make no sense, alone or together: an unknown device or precision, bf16 or
// TF32 on the CPU.
void check_options(const DeviceOptions& options);

// Sets all that holds for the whole program and returns the device, once it is certain to work. Throws as
// check_options(), and Error if this build or machine has no such device.
Device use_device(const DeviceOptions& options);

DType activations_of(const DeviceOptions& options);  // ResNetOptions::activations

}  // namespace lamina
