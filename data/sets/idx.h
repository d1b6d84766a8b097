// Fashion-MNIST (Xiao et al. 2017) and anything else in MNIST's IDX files, plain or .gz
// (http://yann.lecun.com/exdb/mnist/): a big-endian magic number, the extents, then the bytes.
#pragma once

#include <filesystem>

#include "data/dataset.h"

namespace lamina::data {

// `directory` holds {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each with or without
// .gz. Images are [N, 28, 28, 1]. Throws Error naming the file: missing, wrong magic, extents that do not
// match the file's size, not as many labels as images, a broken .gz.
Dataset fashion_mnist(const std::filesystem::path& directory, const OpenOptions& options = {});

// One file: u8, of the rank given. Reads path, or path.gz.
Tensor read_idx(const std::filesystem::path& path, int rank);

}  // namespace lamina::data
