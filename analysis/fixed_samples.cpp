#include "analysis/fixed_samples.h"

#include <algorithm>

#include "analysis/loss_surface.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::analysis {
namespace {

constexpr std::int64_t default_samples = 1024;

}  // namespace

std::vector<data::Part> fixed_samples(const Objective& objective, const data::Split& split,
                                      const std::optional<data::ViewRecipe>& views,
                                      const FixedSamples& options, Device device) {
  const std::int64_t samples =
      options.samples.value_or(std::min<std::int64_t>(default_samples, split.size()));
  if (samples < 0 || options.micro_batch < 1)
    fail_usage("fixed samples: {} of them, {} at once; expected 0 (all) or more, and 1 or more", samples,
               options.micro_batch);
  if (samples > split.size())
    fail_usage("{} {}: there are {} images; expected no more", option_name("limit"), samples, split.size());
  const data::Split chosen = data::limit(split, samples);
  const std::int64_t at_once = std::min(options.micro_batch, chosen.size());
  const bool whole = objective.needs_whole_batch();
  return fixed_parts(data::Loader(chosen, {.batch = whole ? at_once : chosen.size(),
                                           .micro_batch = whole ? 0 : at_once,
                                           .recipe = whole ? views : std::nullopt,
                                           .views = whole ? 2 : 1,
                                           .shuffle = false,
                                           .workers = options.workers}),
                     device);
}

std::uint64_t digest_of_samples(const std::vector<data::Part>& parts) {
  std::vector<std::uint64_t> digests;
  const auto add = [&](const Tensor& tensor) {
    const Tensor here = tensor.to(Device{});
    digests.push_back(digest_of_bytes(here.raw(), here.bytes()));
  };
  for (const data::Part& part : parts) {
    for (const Tensor& view : part.views) add(view);
    if (part.labels.defined()) add(part.labels);
  }
  return digest_of_bytes(digests.data(), digests.size() * sizeof(std::uint64_t));
}

}  // namespace lamina::analysis
