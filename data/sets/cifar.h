// CIFAR-10 and CIFAR-100, binary layout (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).
// A record is 1 label byte (CIFAR-100: coarse, then fine, of which the fine one is used) and 3072 pixel
// bytes: 32×32 red, then green, then blue.
#pragma once

#include <filesystem>

#include "data/dataset.h"

namespace lamina::data {

// `directory` holds data_batch_1…5.bin and test_batch.bin, and batches.meta.txt with the class names (the
// usual names if it is absent). Files of any whole number of records are accepted. Throws Error listing every
// missing file, or naming the file and the record that is wrong.
Dataset cifar10(const std::filesystem::path& directory, const OpenOptions& options = {});

// The same with train.bin, test.bin and fine_label_names.txt.
Dataset cifar100(const std::filesystem::path& directory, const OpenOptions& options = {});

}  // namespace lamina::data
