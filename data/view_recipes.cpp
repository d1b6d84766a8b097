#include "data/view_recipes.h"

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace lamina::data {
namespace {

using math::Filter;

// Barlow Twins' own: one view is always blurred, the other often solarized.
const std::vector<ViewPolicy> barlow_views{{.blur = 1}, {.blur = 0.1, .solarize = 0.2}};

const ViewRecipe recipes[] = {
    {.name = "barlow-twins",
     .description = "Barlow Twins on ImageNet; VICReg's are the same (facebookresearch/vicreg@4e12602)",
     .source = "facebookresearch/barlowtwins@8e8d284 main.py",
     .views = barlow_views,
     .statistics = "imagenet",
     .source_size = 224},
    {.name = "tvlars",
     .description = "Barlow Twins as the TVLARS code trains it, CIFAR-10 (32 pixels) and Tiny ImageNet (64)",
     .source = "KhoiDOO/tvlars@b331dcf dataset/cl.py",
     .views = barlow_views,
     .statistics = "imagenet"},
    {.name = "solo-learn-barlow",
     .description = "Barlow Twins and BYOL on CIFAR",
     .source = "vturrisi/solo-learn@9187ea3 asymmetric.yaml",
     .views = {{}, {.solarize = 0.2}},
     .statistics = "cifar10"},
    {.name = "solo-learn-simclr",
     .description = "SimCLR on CIFAR",
     .source = "vturrisi/solo-learn@9187ea3 symmetric.yaml",
     .views = {{.brightness = 0.8, .contrast = 0.8, .saturation = 0.8, .hue = 0.2, .blur = 0.5}},
     .statistics = "cifar10"},
    {.name = "solo-learn-vicreg",
     .description = "VICReg on CIFAR",
     .source = "vturrisi/solo-learn@9187ea3 vicreg.yaml",
     .views = {{.least_area = 0.2, .solarize = 0.1}},
     .statistics = "cifar10"},
    {.name = "solo-learn-mocov2plus",
     .description = "MoCo v2+ on CIFAR",
     .source = "vturrisi/solo-learn@9187ea3 symmetric_weak.yaml",
     .views = {{.saturation = 0.4, .blur = 0.5}},
     .statistics = "cifar10"},
    {.name = "lightly-barlow",
     .description = "Barlow Twins and BYOL in lightly's benchmark on CIFAR-10",
     .source = "lightly-ai/lightly@e8d317f docs/source/getting_started/benchmarks/cifar10_benchmark.py",
     .views = {{.filter = Filter::bilinear}, {.filter = Filter::bilinear, .solarize = 0.2}},
     .statistics = "imagenet"},
    {.name = "lightly-simclr",
     .description = "SimCLR in lightly's benchmark on CIFAR-10",
     .source = "lightly-ai/lightly@e8d317f docs/source/getting_started/benchmarks/cifar10_benchmark.py",
     .views = {{.filter = Filter::bilinear, .saturation = 0.4}},
     .statistics = "imagenet"},
};

struct MethodDefault {
  const char *method, *small, *large;
};
constexpr MethodDefault defaults[] = {
    {"barlow-twins", "solo-learn-barlow", "barlow-twins"},
    {"simclr", "solo-learn-simclr",
     "solo-learn-simclr"},  // strength 1 with blur is SimCLR's on ImageNet, too
    {"vicreg", "solo-learn-vicreg", "barlow-twins"},
};

const ImageStatistics statistics[] = {
    {"cifar10", {0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}},
    {"imagenet", {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},
};

}  // namespace

std::span<const ViewRecipe> view_recipes() { return recipes; }

const ViewRecipe& find_view_recipe(std::string_view name) {
  std::vector<std::string> names;
  for (const ViewRecipe& recipe : recipes) {
    if (recipe.name == name) return recipe;
    names.push_back(recipe.name);
  }
  fail_usage("unknown views '{}'; did you mean {}?", name, nearest(std::string(name), names));
}

const ViewRecipe& default_view_recipe(std::string_view method, std::int64_t image_size) {
  std::vector<std::string> methods;
  for (const MethodDefault& row : defaults) {
    if (row.method == method) return find_view_recipe(image_size <= 64 ? row.small : row.large);
    methods.emplace_back(row.method);
  }
  fail_usage("unknown method '{}'; did you mean {}?", method, nearest(std::string(method), methods));
}

std::span<const ImageStatistics> image_statistics() { return statistics; }

const ImageStatistics* find_image_statistics(std::string_view name) {
  if (name == "data") return nullptr;
  std::vector<std::string> names{"data"};
  for (const ImageStatistics& known : statistics) {
    if (known.name == name) return &known;
    names.push_back(known.name);
  }
  fail_usage("unknown statistics '{}'; did you mean {}?", name, nearest(std::string(name), names));
}

void use_statistics(Dataset& dataset, std::string_view name) {
  const ImageStatistics* known = find_image_statistics(name);
  if (known == nullptr) return;
  for (Split* split : {&dataset.train, &dataset.test}) {
    if (split->size() == 0) continue;
    check(split->channels() == std::ssize(known->mean), "statistics {}: of images of {} channels; {} has {}",
          name, known->mean.size(), dataset.name, split->channels());
    split->mean = known->mean, split->std = known->std;
  }
}

}  // namespace lamina::data
