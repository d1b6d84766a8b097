// What a CudaBackend owns. Members are destroyed from the last to the first: the stream outlives what uses
// it.
#pragma once

#include "core/cuda/allocator.h"
#include "core/cuda/conv_plans.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/image_upload.h"
#include "core/cuda/matmul_plans.h"
#include "core/cuda/owned.h"
#include "core/cuda/staging.h"

namespace lamina {

struct CudaBackend::Gpu {
  explicit Gpu(int index);  // throws Error if the GPU cannot be used

  cuda::OwnedStream stream;
  std::unique_ptr<cuda::GpuAllocator> allocator;
  cuda::Staging staging;
  cuda::ImageUpload images;
  cuda::MatmulPlans matmuls;
  cuda::ConvPlans convolutions;
};

}  // namespace lamina
