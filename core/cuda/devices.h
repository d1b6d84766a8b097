// Which GPUs can be used, and what to say when one cannot.
#pragma once

namespace lamina::cuda {

// Throws Error unless there is a driver, new enough, a GPU of this index, and code in this program for it.
void check_device(int index);

}  // namespace lamina::cuda
