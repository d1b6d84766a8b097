// Images as PNG files.
#pragma once

#include <filesystem>

#include "core/tensor.h"

namespace lamina::data {

// u8 [H, W, C], C = 1 or 3. The file appears whole or not at all. Throws Error for another tensor, and where
// it cannot be written.
void write_png(const std::filesystem::path& path, const Tensor& image);

}  // namespace lamina::data
