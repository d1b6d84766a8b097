// Folders of images, one folder per class; classes are numbered by the sorted folder names.
//
//   train/<class>/**            val/<class>/**  or  test/<class>/**
//
// Tiny ImageNet's own layouts are read as well: train/<wnid>/images/*.JPEG beside <wnid>_boxes.txt, and
// val/images/*.JPEG with val/val_annotations.txt (its test/ has no labels, so val/ is preferred).
// Hidden files and *.txt are skipped; every other file must be an image (data/images/image.h).
#pragma once

#include <filesystem>

#include "data/dataset.h"

namespace lamina::data {

// All images become RGB and must have one size, unless options.image_size asks for resizing. The decoded
// images are kept in cache_directory() and used again while no file's path, size or time has changed: a
// broken cache is rebuilt, an unwritable one is noted and left. Throws Error naming the folder or file: no
// train folder, an empty class, a class unknown to train, a file that is no image, images of two sizes.
Dataset folder(const std::filesystem::path& directory, const OpenOptions& options = {});

// folder(), with the readable class names of words.txt ("n01641577\tbullfrog, Rana catesbeiana") if present.
Dataset tiny_imagenet(const std::filesystem::path& directory, const OpenOptions& options = {});

}  // namespace lamina::data
