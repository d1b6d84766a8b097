// Training-time augmentation: a random crop from the zero-padded image and a random mirror (He et al. 2016,
// §4.2), then a square cut out (DeVries & Taylor 2017), as a pure function of (seed, epoch, sample, view).
// Backend::crop_images carries it out.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/backend.h"

namespace lamina::data {

struct Augment {
  int padding = 0;    // the crop starts up to this many pixels off, in each direction
  bool flip = false;  // mirror every other image, at random
  // Side of a square, in pixels, that becomes 0 after normalisation: the mean colour. Its centre is any
  // pixel, so that it may stick out; 0: none. The paper takes 16 for CIFAR-10 and 8 for CIFAR-100.
  int cutout = 0;
};

inline Augment none() { return {}; }
inline Augment standard() { return {.padding = 4, .flip = true}; }
Augment augment_named(std::string_view name);  // "none" or "standard"; throws UsageError

inline constexpr int most_views = 16;

// One crop for each of the split's rows `samples`: the same image in the same epoch gets the same one,
// whatever batch it is in. Views, counted from 0, draw from random numbers of their own. A cutout has to know
// the size of the crops.
struct CropSize {
  std::int64_t height = 0, width = 0;
};
std::vector<Crop> crops(std::span<const std::int64_t> samples, const Augment& augment, std::uint64_t seed,
                        std::uint32_t epoch, int view = 0, const CropSize& size = {});

}  // namespace lamina::data
