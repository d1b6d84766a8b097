// The views of public self-supervised implementations, by name; `lamina info --views` lists them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/views.h"

namespace lamina::data {

std::span<const ViewRecipe> view_recipes();

// Throws UsageError naming the nearest one.
const ViewRecipe& find_view_recipe(std::string_view name);

// What a method (barlow-twins, simclr, vicreg) is trained with where nobody says: up to 64 pixels a side the
// recipe that solo-learn has for it on CIFAR, for larger images that of ImageNet. Throws UsageError for
// another method, naming the nearest one.
const ViewRecipe& default_view_recipe(std::string_view method, std::int64_t image_size);

// Per channel, of pixel / 255.
struct ImageStatistics {
  std::string name;
  std::vector<float> mean, std;
};
std::span<const ImageStatistics> image_statistics();  // cifar10, imagenet

// Null for "data", the statistics that were measured. Throws UsageError for an unknown name.
const ImageStatistics* find_image_statistics(std::string_view name);

// From now on the images of all splits are normalised with these, in training, in tests and in weight files;
// "data": as they are. Throws as find_image_statistics(), and Error for images that are not RGB.
void use_statistics(Dataset& dataset, std::string_view name);

}  // namespace lamina::data
