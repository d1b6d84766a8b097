#include "train/memory_advice.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "core/backend.h"
#include "core/base/table.h"

namespace lamina::train {
namespace {

constexpr std::int64_t fewest = 2;   // images that batch normalisation takes, however small
constexpr double enough = 64 << 20;  // bytes that images must add, or kernels' temporary memory is most of it

Allocator& allocator_of(const ImageWork& work) { return backend_for(work.device).allocator(); }

// A GPU's libraries choose their kernels in the first run, which takes memory of its own.
double peak_of(const ImageWork& work, std::int64_t images) {
  Allocator& allocator = allocator_of(work);
  work.run(images);
  allocator.reset_peak();
  work.run(images);
  return static_cast<double>(allocator.use().peak_bytes);
}

// Nothing if it does not fit.
std::optional<double> try_peak_of(const ImageWork& work, std::int64_t images) {
  try {
    return peak_of(work, images);
  } catch (const OutOfMemory&) {
    return std::nullopt;
  }
}

bool fits(const ImageWork& work, std::int64_t images) {
  try {
    allocator_of(work).empty_cache();
    work.run(images);
    return true;
  } catch (const OutOfMemory&) {
    return false;
  }
}

// The most images that should fit, at least the fewest.
std::int64_t most_images(const MemoryNeed& need, const ImageWork& work, double bytes) {
  const double images = std::floor((bytes - need.fixed) / std::max(need.per_image, 1.0));
  return static_cast<std::int64_t>(
      std::clamp(images, static_cast<double>(fewest), static_cast<double>(std::max(work.images, fewest))));
}

// The largest convenient size that does fit; nothing if not even the fewest images do.
std::optional<std::int64_t> find_size(const MemoryNeed& need, const ImageWork& work, double bytes) {
  std::int64_t most = std::min(most_images(need, work, bytes), work.images - 1);
  for (; most >= fewest; most /= 2) {
    const std::int64_t size = convenient_size(work.batch, most);
    if (fits(work, size)) return size;
    most = size;
  }
  return std::nullopt;
}

}  // namespace

BlankPart::BlankPart(const data::Loader& loader, Device device, std::int64_t images) {
  const data::Split& split = loader.split();
  const Shape shape{images, split.height(), split.width(), split.channels()};
  for (int i = 0; i < loader.options().views; ++i)
    part.views.push_back(Tensor::zeros(shape, {.device = device}));
  part.labels = Tensor::zeros({images}, {DType::i32, device});
  part.batch_samples = images;
  if (split.images.device().type != DeviceType::cpu || loader.options().workers == 0) return;
  for (std::int64_t i = 0; i < loader.options().prefetch * loader.options().views; ++i)
    ahead.push_back(Tensor::empty(shape));
}

MemoryNeed measure_need(const ImageWork& work) {
  const auto before = static_cast<double>(allocator_of(work).use().live_bytes);
  std::int64_t images = fewest;
  double peak = peak_of(work, images);
  double per_image = (peak - before) / static_cast<double>(images);  // temporary memory and all
  for (double added = 0; added < enough && 4 * images <= work.images; images *= 2) {
    const std::optional<double> twice = try_peak_of(work, 2 * images);
    if (!twice) break;
    added = *twice - peak;
    per_image = added / static_cast<double>(images);
    peak = *twice;
  }
  return {.fixed = peak - per_image * static_cast<double>(images), .per_image = per_image};
}

std::int64_t convenient_size(std::int64_t batch, std::int64_t most) {
  for (std::int64_t size = most; 2 * size > most; --size)
    if (batch % size == 0) return size;
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most)));
}

OutOfMemory explain(const OutOfMemory& error, const ImageWork& work) {
  const MemoryShortage& shortage = error.shortage();
  const auto available = static_cast<double>(shortage.most_bytes);
  const std::string place = work.device.str();
  std::optional<MemoryNeed> need;
  try {
    need = measure_need(work);
  } catch (const OutOfMemory&) {
    return {fmt::format("{}: out of memory: not even two images at a time fit in the {} available on {}; use "
                        "a smaller model or smaller images",
                        work.request, format_bytes(available), place),
            shortage};
  }
  const std::optional<std::int64_t> size = find_size(*need, work, available);
  const std::string advice =
      size ? fmt::format("{} {} needs {} and fits", work.option, *size, format_bytes(need->of(*size)))
           : "no smaller part fits either; use a smaller model or smaller images";
  return {fmt::format("{}: out of memory: this needs about {}, and {} are available on {} ({} whatever the "
                      "number of images, and {} for each); {}",
                      work.request, format_bytes(need->of(work.images)), format_bytes(available), place,
                      format_bytes(need->fixed), format_bytes(need->per_image), advice),
          shortage};
}

}  // namespace lamina::train
