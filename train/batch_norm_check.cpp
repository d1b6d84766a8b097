#include "train/batch_norm_check.h"

#include <set>
#include <string>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "layers/batch_norm.h"

namespace lamina::train {
namespace {

struct SingleImage {
  std::string part, advice;  // both empty: no part is of a single image
};

// Where a batch of so many images comes to a part of one.
SingleImage single_in_batch(std::int64_t batch_images, const data::LoaderOptions& options,
                            const std::string& batch, const std::string& micro) {
  const std::int64_t images = options.share.end(batch_images) - options.share.begin(batch_images);
  if (images == 1 && options.share.of > 1)
    return {fmt::format("{} leaves rank {} a single image", batch, options.share.index),
            "fewer ranks or a larger " + option_name("batch")};
  const std::int64_t part = options.micro_batch > 0 ? std::min(options.micro_batch, images) : images;
  if (images == 1) return {fmt::format("{} is a single image", batch), ""};
  if (part == 1) return {fmt::format("{} {}", micro, part), fmt::format("a larger {}", micro)};
  if (images % part != 1) return {};
  return {fmt::format("{}, of {} images, ends in a part of one, with {} {}", batch, images, micro, part),
          fmt::format("another {}", micro)};
}

SingleImage single_image(const data::Loader& loader, const std::string& micro) {
  const data::LoaderOptions& options = loader.options();
  const std::string batch = fmt::format("{} {}", option_name("batch"), options.batch);
  SingleImage found = single_in_batch(options.batch, options, batch, micro);
  if (found.part.empty() && !options.drop_last && loader.samples() % options.batch != 0) {
    found = single_in_batch(loader.samples() % options.batch, options,
                            "the last batch of an epoch, with " + batch, micro);
    if (!found.part.empty() && found.advice.empty())
      found.advice = (has_option("drop_last") ? "drop_last, or another " : "another ") + option_name("batch");
  }
  if (!found.part.empty() && found.advice.empty()) found.advice = "a larger " + option_name("batch");
  return found;
}

void collect_training(const Module& module, std::set<const Module*>& found) {
  if (dynamic_cast<const BatchNormLayer*>(&module) != nullptr && module.training()) found.insert(&module);
  for (const auto& child : module.children()) collect_training(*child, found);
}

// The first layer to which one image gives a single value; empty: none, or the objective does not do with
// one.
std::string layer_with_one_value(Objective& objective, const data::Loader& loader, Device device) {
  std::set<const Module*> norms;
  collect_training(objective.module(), norms);
  if (norms.empty()) return "";
  data::LoaderOptions single = loader.options();
  single.batch = 1;
  single.micro_batch = 0;
  single.workers = 0;
  std::string found;
  const NoGrad no_grad;
  const EvalMode eval_mode(objective.module());  // which takes one value
  const ForwardObserver observer([&](const Module& layer, const Tensor& x, const Tensor&) {
    if (found.empty() && norms.contains(&layer) && x.elements() == x.size(x.rank() - 1)) found = layer.path();
  });
  try {
    for (const data::Part& part : data::Loader(loader.split(), single).epoch(0, device)) {
      objective.loss(part);
      break;
    }
  } catch (const std::exception&) {  // the first step will say what is wrong
    return "";
  }
  return found;
}

}  // namespace

void check_batch_norms(Objective& objective, const data::Loader& loader, Device device,
                       const char* part_option) {
  const SingleImage single = single_image(loader, option_name(part_option));
  if (single.part.empty()) return;
  const std::string layer = layer_with_one_value(objective, loader, device);
  if (layer.empty()) return;
  fail_usage(
      "{}: that gives the batch normalisation {} one value per channel, but training needs at least 2 "
      "values; choose {}",
      single.part, layer, single.advice);
}

}  // namespace lamina::train
