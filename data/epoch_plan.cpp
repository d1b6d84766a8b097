#include "data/epoch_plan.h"

#include <algorithm>
#include <utility>

#include "core/memory/allocator.h"
#include "core/random.h"

namespace lamina::data {
namespace {

// For images that lie in the order of these.
template <typename Views>
void number_sources(Views& views) {
  std::int32_t next = 0;
  for (auto& view : views) view.source = next++;
}

// The images of these rows, one after another.
Tensor gathered(const Tensor& images, std::span<const std::int64_t> rows) {
  Tensor some = Tensor::empty(
      {static_cast<std::int64_t>(rows.size()), images.size(1), images.size(2), images.size(3)}, {DType::u8});
  for (std::size_t i = 0; i < rows.size(); ++i)
    some.rows(static_cast<std::int64_t>(i), 1).copy_from(images.rows(rows[i], 1));
  return some;
}

}  // namespace

MadePart Epoch::Plan::make(std::int64_t index) const {
  MadePart made;
  Part& part = made.part;
  part.batch = index / parts_per_batch();
  part.epoch = epoch, part.seed = seed;
  const std::int64_t start = part.batch * options.batch;  // in `order`
  part.batch_samples = std::min(options.batch, samples - start);
  const std::int64_t within = index % parts_per_batch();
  const std::int64_t parts_per_pass = parts_of(part.batch_samples) / options.passes;
  part.pass = static_cast<int>(within / parts_per_pass);
  part.passes = options.passes;
  const std::int64_t end = options.share.end(part.batch_samples);
  part.offset = options.share.begin(part.batch_samples) + within % parts_per_pass * part_size();
  const std::int64_t count = std::min(part_size(), end - part.offset);
  part.begins_pass = within % parts_per_pass == 0;
  part.completes_batch = part.is_of_last_pass() && part.offset + count == end;

  const auto from = order.begin() + start + part.offset;
  part.samples.assign(from, from + count);
  std::vector<std::int32_t> labels;
  for (const std::int64_t sample : part.samples) {
    labels.push_back(split.labels.data<std::int32_t>()[sample]);
  }
  part.labels = Tensor::from(labels, {count});
  for (int view = 0; view < options.views; ++view) {
    UncroppedView source = uncropped(part.samples, view);
    if (crops_on_gpu())
      made.uncropped.push_back(std::move(source));
    else
      part.views.push_back(cropped(source));
  }
  return made;
}

UncroppedView Epoch::Plan::uncropped(std::span<const std::int64_t> rows, int view) const {
  Tensor sources = options.transform ? transformed(rows, view) : split.images;
  if (options.recipe) sources = recipe_views(sources, rows, view);
  const CropSize size{.height = sources.size(1), .width = sources.size(2)};
  std::vector<Crop> crops =
      data::crops(rows, options.augment, seed, static_cast<std::uint32_t>(epoch), view, size);
  const bool is_whole_split = !options.transform && !options.recipe;
  if (is_whole_split && crops_on_gpu()) sources = gathered(sources, rows);
  if (!is_whole_split || crops_on_gpu()) number_sources(crops);
  return {.sources = sources, .crops = std::move(crops)};
}

Tensor Epoch::Plan::cropped(const UncroppedView& view) const {
  const Tensor& sources = view.sources;
  const Device where = crops_on_gpu() ? device : sources.device();
  const Shape shape{std::ssize(view.crops), sources.size(1), sources.size(2), sources.size(3)};
  Tensor images = Tensor::empty(shape, {DType::f32, where});
  Backend& backend = backend_for(where);
  if (crops_on_gpu())
    backend.crop_host_images(sources, view.crops, split.mean, split.std, images);
  else
    backend.crop_images(sources, view.crops, split.mean, split.std, images);
  return images;
}

Part Epoch::Plan::finish(MadePart made) const {
  Part& part = made.part;
  for (const UncroppedView& view : made.uncropped) part.views.push_back(cropped(view));
  for (Tensor& view : part.views) view = view.to(device);
  part.labels = part.labels.to(device);
  return std::move(part);
}

// Of `sources`, which are the split's images or what a transform has made of these rows: u8 [rows, h, w, C].
Tensor Epoch::Plan::recipe_views(const Tensor& sources, std::span<const std::int64_t> rows, int view) const {
  const CropSize size{.height = sources.size(1), .width = sources.size(2)};
  std::vector<View> views =
      draw_views(rows, *options.recipe, seed, static_cast<std::uint32_t>(epoch), view, size);
  if (options.transform) number_sources(views);
  const std::int64_t side = options.recipe->size;
  return make_views(sources, views, side > 0 ? side : size.height, side > 0 ? side : size.width);
}

// Their images, one after another: u8 [rows, H, W, C].
Tensor Epoch::Plan::transformed(std::span<const std::int64_t> rows, int view) const {
  const Stream stream = stream_of_view(Stream::user, view);
  Tensor images;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Random random{seed, stream, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(rows[i])};
    const Tensor image = options.transform(split.get(rows[i]).image.clone(), random);
    check(image.defined() && image.dtype() == DType::u8 && image.rank() == 3 && image.elements() > 0 &&
              image.size(2) == split.channels() && image.device().type == DeviceType::cpu,
          "the transform of row {} gave {}; expected u8 [H, W, {}] on the CPU", rows[i],
          image.defined() ? image.str() : "an undefined tensor", split.channels());
    if (!images.defined()) {
      const Shape shape{static_cast<std::int64_t>(rows.size()), image.size(0), image.size(1), image.size(2)};
      images = Tensor::empty(shape, {.dtype = DType::u8});
    }
    check(image.size(0) == images.size(1) && image.size(1) == images.size(2),
          "the transform of row {} gave {}×{} pixels; expected {}×{} (height×width), as of row {} before it, "
          "with which it is to be in one batch",
          rows[i], image.size(0), image.size(1), images.size(1), images.size(2), rows[0]);
    images.rows(static_cast<std::int64_t>(i), 1).view(image.shape()).copy_from(image);
  }
  return images;
}

void Epoch::Plan::rethrow(std::exception_ptr error, std::int64_t index) const {
  try {
    std::rethrow_exception(std::move(error));
  } catch (const OutOfMemory&) {
    throw;  // whoever catches it looks at the numbers
  } catch (const std::exception& inner) {
    fail("loader: epoch {}, batch {}: {}", epoch, index / parts_per_batch(), inner.what());
  }
}

}  // namespace lamina::data
