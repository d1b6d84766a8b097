// What calls of the emulated runtime return.
#pragma once

#include "core/cuda/check.h"

namespace lamina::tests {

cudaError_t report(cudaError_t error);  // which cudaGetLastError() has then

}  // namespace lamina::tests
