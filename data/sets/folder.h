// Folders of images, one folder per class; classes are numbered by the sorted folder names.
//
//   train/<class>/**            val/<class>/**  or  test/<class>/**
//
// Tiny ImageNet's own layouts are read as well: train/<wnid>/images/*.JPEG beside <wnid>_boxes.txt, and
// val/images/*.JPEG with val/val_annotations.txt (its test/ has no labels, so val/ is preferred), or
// val/<wnid>/** where they were sorted and the annotations left.
// What has the ending of an image (.jpg .jpeg .jpe .jfif .png .bmp .tga .pgm .ppm .pnm, in any case) must be
// one (data/images/image.h). Hidden files are passed over; other ones are left out, and counted in the notes.
// Links to files and folders count as these.
#pragma once

#include <filesystem>

#include "data/dataset.h"

namespace lamina::data {

// All images become RGB and must have one size, unless options.image_size asks for resizing. The decoded
// images are kept in cache_directory() and used again while no file's path, size or time has changed: a
// broken cache is rebuilt, an unwritable one is noted and left. Throws Error naming the folder or file: no
// train folder, an empty class, a class unknown to train or whose name is not UTF-8, a link into nothing,
// whatever cannot be looked at, images of kinds that are not read, a file that is no image, images of two
// sizes or that need more memory than there is.
Dataset folder(const std::filesystem::path& directory, const OpenOptions& options = {});

// folder(), with the readable class names of words.txt ("n01641577\tbullfrog, Rana catesbeiana") if present.
Dataset tiny_imagenet(const std::filesystem::path& directory, const OpenOptions& options = {});

}  // namespace lamina::data
