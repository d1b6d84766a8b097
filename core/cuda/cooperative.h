// Kernels whose blocks are all on the GPU at once, so that they may wait for one another: one launch does
// what else takes several, each beginning when the one before has ended.
#pragma once

#include <cstdint>

namespace lamina::cuda {

// Whether work that reads so many bytes twice is one such kernel: where the GPU in use has them, and its
// cache holds the bytes. More than that takes so long that launches do not count, while several kernels have
// more threads, each as many as its own registers allow. LAMINA_GPU_LAUNCHES=separate: never.
// Throws Error if that variable has another value.
bool is_cooperative(std::int64_t bytes);

int multiprocessors_in_use();  // of the GPU in use

}  // namespace lamina::cuda
