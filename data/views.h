// Random views of images for self-supervised and strongly augmented training: a random part of the image,
// resized, mirrored, with other colours, blurred, solarized. Pixels are Pillow's to the bit, and what is
// drawn is distributed as torchvision draws it: the views of a recipe are those of the code that it comes
// from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "data/augment.h"

namespace lamina::data {

// What the views of one kind are drawn from, in this order. Probabilities are 0 … 1.
struct ViewPolicy {
  // Of the image: a rectangle of a random share of its area, least_area … 1, and a random aspect ratio,
  // 3/4 … 4/3, resized to the size of the views (RandomResizedCrop).
  double least_area = 0.08;
  math::Filter filter = math::Filter::bicubic;
  double flip = 0.5;
  // With probability `jitter`, in random order: factors 1 - x … 1 + x, at least 0, and a shift of the hue by
  // -hue … hue of a turn, at most 0.5 (ColorJitter).
  double jitter = 0.8;
  double brightness = 0.4, contrast = 0.4, saturation = 0.2, hue = 0.1;
  double grayscale = 0.2;
  double blur = 0;      // Gaussian, σ of 0.1 … 2 pixels, whatever the size of the views
  double solarize = 0;  // inverts values from 128 on
};

// A recipe is data; data/view_recipes.h has those of public implementations.
struct ViewRecipe {
  std::string name = {}, description = {};
  std::string source = {};             // repository@commit and file
  std::vector<ViewPolicy> views = {};  // view v of a sample is of kind v % views.size()
  std::string statistics = "data";     // what the source normalises with, as in data::use_statistics()
  int source_size = 32;                // the views of the source, in pixels a side
  int size = 0;                        // of the views, a square; 0: as the images
};

// Throws Error for a recipe without a kind of view, probabilities, areas or amounts out of range, or a size
// that is not 0 … 1024. `channels` of the images: 1, whose hue and saturation nothing changes, or 3.
void check_view_recipe(const ViewRecipe& recipe, std::int64_t channels);

// All that a view of this kind depends on, in one line; of a recipe, its kinds with " / " between them.
std::string describe(const ViewPolicy& policy);
std::string describe(const ViewRecipe& recipe);

// One view of each of the rows `samples` of images of `size`: a pure function of (seed, epoch, sample, view),
// whatever batch it is in. `view` counts from 0.
std::vector<View> draw_views(std::span<const std::int64_t> samples, const ViewRecipe& recipe,
                             std::uint64_t seed, std::uint32_t epoch, int view, const CropSize& size);

// u8 images [S, H, W, C], C = 1 or 3 -> u8 [views.size(), height, width, C], on the images' device. Views may
// be larger than the image: what is cut out is enlarged. Throws Error for a size that is not positive, an
// image that does not exist, and a rectangle that is empty or not inside the image.
Tensor make_views(const Tensor& images, std::span<const View> views, std::int64_t height, std::int64_t width);

}  // namespace lamina::data
