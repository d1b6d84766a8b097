#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <new>

#include "core/base/available_memory.h"
#include "core/base/option_name.h"
#include "core/base/printable.h"
#include "core/base/rounding.h"
#include "core/base/table.h"
#include "core/base/user_directories.h"
#include "core/memory/allocator.h"
#include "core/random.h"
#include "data/file.h"
#include "data/find.h"
#include "data/sets/cifar.h"
#include "data/sets/folder.h"
#include "data/sets/idx.h"
#include "data/sets/synthetic.h"

namespace lamina::data {

namespace {

// Two fixed orders of a split's rows, in place of the epoch: were they one, what is held out of a limited
// split would be its beginning.
enum FixedOrder : std::uint32_t { limiting = 0, holding_out = 1 };

std::vector<std::int64_t> fixed_order(std::int64_t size, FixedOrder order) {
  return permutation(size, {.seed = 0, .stream = Stream::split, .epoch = order});
}

using Directory = std::filesystem::path;

// A data set on disk: where it lies, and its reader in data/sets. A new one is a line here.
struct Source {
  Place place;
  Dataset (*read)(const Directory&, const OpenOptions&);
  bool reads_images = false;  // files: honours OpenOptions::image_size, skip_damaged and max_pixels
};

const std::vector<Source>& sources() {
  static const std::vector<Source> list = {
      {{"cifar10", "cifar-10-batches-bin", {"test_batch.bin"}}, cifar10},
      {{"cifar100", "cifar-100-binary", {"test.bin"}}, cifar100},
      {{"fashion-mnist", "FashionMNIST/raw", {"t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"}},
       fashion_mnist},
      {{"tiny-imagenet", "tiny-imagenet-200", {"train"}}, tiny_imagenet, true},
      {{"folder", "", {"train"}}, folder, true},
  };
  return list;
}

// "HxWxCxCLASSES", each at least 1.
SyntheticOptions parse_synthetic(const std::string& text) {
  SyntheticOptions options;
  if (text.empty()) return options;
  char rest = 0;
  const int read = std::sscanf(text.c_str(), "%4dx%4dx%4dx%4d%c", &options.height, &options.width,
                               &options.channels, &options.classes, &rest);
  if (read != 4 || std::min({options.height, options.width, options.channels, options.classes}) < 1) {
    fail_usage("synthetic:{}: expected synthetic:HxWxCxCLASSES, such as synthetic:32x32x3x10", text);
  }
  return options;
}

void check_labels(const Split& split, std::size_t classes, const std::string& source) {
  check(split.labels.elements() == split.size(), "{}: {} labels for {} images", source,
        split.labels.elements(), split.size());
  const auto* labels = split.labels.data<std::int32_t>();
  for (std::int64_t i = 0; i < split.size(); ++i) {
    check(labels[i] >= 0 && labels[i] < static_cast<std::int32_t>(classes),
          "{}: image {} has label {}; expected 0 to {}", source, i, labels[i], classes - 1);
  }
}

// Sums of pixels and of squared pixels per channel.
struct Sums {
  std::vector<std::uint64_t> value, square;
};

// Adds `count` pixel bytes, channels interleaved. `lanes` bytes side by side keep the loop vectorisable
// whatever the number of channels; 65536 * 255² still fits 32 bits.
void add_pixels(const std::uint8_t* pixels, std::size_t count, std::size_t channels, Sums& sums) {
  const std::size_t lanes = channels * 16;
  std::vector<std::uint32_t> value(lanes), square(lanes);
  for (std::size_t start = 0; start < count; start += lanes * 65536) {
    const std::size_t end = std::min(count, start + lanes * 65536);
    std::fill(value.begin(), value.end(), 0u);
    std::fill(square.begin(), square.end(), 0u);
    for (std::size_t i = start; i < end; i += lanes) {
      const std::size_t n = std::min(lanes, end - i);
      for (std::size_t j = 0; j < n; ++j) {
        const std::uint32_t p = pixels[i + j];
        value[j] += p;
        square[j] += p * p;
      }
    }
    for (std::size_t j = 0; j < lanes; ++j) {
      sums.value[j % channels] += value[j];
      sums.square[j % channels] += square[j];
    }
  }
}

}  // namespace

void notify_stderr(const std::string& line) { std::fprintf(stderr, "%s\n", printable_lines(line).c_str()); }

Sample Split::get(std::int64_t i) const {
  check(i >= 0 && i < size(), "Split::get: image {} of {}", i, size());
  return {images.rows(i, 1).view({height(), width(), channels()}), labels.data<std::int32_t>()[i]};
}

Split subset(const Split& split, std::span<const std::int64_t> rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  Split result = split;
  result.images =
      Tensor::empty({count, split.height(), split.width(), split.channels()}, split.images.options());
  result.labels = Tensor::empty({count}, {.dtype = DType::i32});
  for (std::int64_t i = 0; i < count; ++i) {
    const Sample sample = split.get(rows[static_cast<std::size_t>(i)]);
    result.get(i).image.copy_from(sample.image);
    result.labels.data<std::int32_t>()[i] = sample.label;
  }
  return result;
}

Split limit(const Split& split, std::int64_t count) {
  if (count <= 0 || count >= split.size()) return split;
  const std::vector<std::int64_t> order = fixed_order(split.size(), limiting);
  return subset(split, std::span(order).first(static_cast<std::size_t>(count)));
}

HeldOut hold_out(const Split& split, std::int64_t count) {
  if (count <= 0 || count >= split.size()) {
    fail_usage("hold_out: {} of {} images; expected at least 1, and fewer than there are", count,
               split.size());
  }
  std::vector<std::int64_t> rows = fixed_order(split.size(), holding_out);
  const auto middle = rows.begin() + count;
  std::sort(rows.begin(), middle);
  std::sort(middle, rows.end());
  return {.rest = subset(split, {middle, rows.end()}), .held_out = subset(split, {rows.begin(), middle})};
}

void measure(const Tensor& images, std::vector<float>& mean, std::vector<float>& std) {
  const std::int64_t channels = images.size(3), image_bytes = images.elements() / images.size(0);
  const auto c = static_cast<std::size_t>(channels);
  Sums total{std::vector<std::uint64_t>(c), std::vector<std::uint64_t>(c)};
  std::mutex mutex;
  constexpr std::int64_t chunk = 4096;
  for_each_index(ceil_div(images.size(0), chunk), 0, [&](std::int64_t k) {
    const std::int64_t count = std::min(chunk, images.size(0) - k * chunk);
    Sums part{std::vector<std::uint64_t>(c), std::vector<std::uint64_t>(c)};
    add_pixels(images.data<std::uint8_t>() + k * chunk * image_bytes,
               static_cast<std::size_t>(count * image_bytes), c, part);
    const std::lock_guard lock(mutex);  // integer sums: any order gives the same
    for (std::size_t j = 0; j < c; ++j) {
      total.value[j] += part.value[j];
      total.square[j] += part.square[j];
    }
  });
  mean.assign(c, 0.0f);
  std.assign(c, 0.0f);
  const std::int64_t pixel_count = images.elements() / channels;
  const auto pixels = static_cast<double>(pixel_count);
  for (std::size_t j = 0; j < c; ++j) {
    const double m = static_cast<double>(total.value[j]) / pixels;
    const double variance = static_cast<double>(total.square[j]) / pixels - m * m;
    mean[j] = static_cast<float>(m / 255.0);
    // Far below the variance of one pixel differing by 1 in 2^32: rounding of a constant channel.
    std[j] = variance > 1e-9 ? static_cast<float>(std::sqrt(variance) / 255.0) : 1.0f;
  }
}

void check_class_name(const std::string& name, const std::string& source) {
  const std::string shown = printable(name);
  check(shown == name, "{}: the class name \"{}\" has {}; rename it", source, shown,
        is_utf8(name) ? "control characters" : "bytes that are not UTF-8");
}

Dataset finish(Dataset dataset, const OpenOptions& options, const std::string& train_source,
               const std::string& test_source) {
  Split& train = dataset.train;
  Split& test = dataset.test;
  for (const std::string& name : dataset.classes) check_class_name(name, train_source);
  check(train.size() > 0, "{}: no training images", train_source);
  check(test.size() > 0, "{}: no test images", test_source);
  check_labels(train, dataset.classes.size(), train_source);
  check_labels(test, dataset.classes.size(), test_source);
  check(
      train.height() == test.height() && train.width() == test.width() && train.channels() == test.channels(),
      "{}: images are {}×{}×{}, but those of {} are {}×{}×{} (height×width×channels)", test_source,
      test.height(), test.width(), test.channels(), train_source, train.height(), train.width(),
      train.channels());
  measure(train.images, train.mean, train.std);
  test.mean = train.mean;
  test.std = train.std;
  DataIdentity& identity = dataset.identity;
  identity.name = dataset.name;
  identity.classes = dataset.classes;
  identity.train = identity_of(train, options.threads);
  identity.test = identity_of(test, options.threads);
  identity.height = train.height(), identity.width = train.width(), identity.channels = train.channels();
  identity.mean = train.mean, identity.std = train.std;
  train = limit(train, options.limit_train);
  test = limit(test, options.limit_test);
  return dataset;
}

std::vector<std::string> names() {
  std::vector<std::string> list;
  for (const Source& source : sources()) list.push_back(source.place.name);
  list.emplace_back("synthetic");
  return list;
}

bool reads_image_files(std::string_view spec) {
  const std::string_view name = spec.substr(0, spec.find(':'));
  return std::any_of(sources().begin(), sources().end(),
                     [&](const Source& source) { return source.place.name == name && source.reads_images; });
}

std::filesystem::path locate(std::string_view name) {
  for (const Source& source : sources()) {
    if (source.place.name == name) return find_anywhere(source.place).value_or(std::filesystem::path());
  }
  return {};
}

namespace {

// A folder of images is easily given by its name alone.
[[noreturn]] void fail_unknown(std::string_view spec, const std::string& name) {
  std::error_code ignored;  // whatever is there, the name is wrong
  const std::string folder = printable(spec), known = fmt::format("{}", fmt::join(names(), ", "));
  if (std::filesystem::is_directory(expand_home(std::string(spec)), ignored))
    fail_usage("unknown data set '{}'; it is a directory: folder:{} reads its images. Known: {}", folder,
               folder, known);
  fail_usage("unknown data set '{}'; known: {}", printable(name), known);
}

Dataset read_source(const Source& source, const std::string& where, const OpenOptions& options) {
  const Directory directory = find(source.place, where);
  try {
    return source.read(directory, options);
  } catch (const OutOfMemory& error) {
    fail("{}: its images need more memory than there is: {} were asked for, and at most {} can be had; {}",
         printable(directory.native()), format_bytes(static_cast<double>(error.shortage().asked_bytes)),
         format_bytes(static_cast<double>(error.shortage().most_bytes)), describe_available_memory());
  } catch (const std::bad_alloc&) {
    fail("{}: its images need more memory than there is: {}", printable(directory.native()),
         describe_available_memory());
  }
}

}  // namespace

Dataset open(std::string_view spec, const OpenOptions& options) {
  const std::size_t colon = spec.find(':');
  const std::string name(spec.substr(0, colon));
  const std::string where(colon == std::string_view::npos ? "" : spec.substr(colon + 1));
  const auto source =
      std::find_if(sources().begin(), sources().end(), [&](const Source& s) { return s.place.name == name; });
  const bool reads_images = source != sources().end() && source->reads_images;
  if (source == sources().end() && name != "synthetic") fail_unknown(spec, name);
  if (options.image_size != 0 && !reads_images)
    fail_usage("{}: images have a fixed size; only image folders can be resized", name);
  if (options.skip_damaged && !reads_images)
    fail_usage("{}: {} is for image folders; here are no image files of which some could be damaged", name,
               option_name("skip_damaged"));
  if (name == "synthetic") return synthetic(parse_synthetic(where), options);
  return read_source(*source, where, options);
}

}  // namespace lamina::data
