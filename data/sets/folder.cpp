#include "data/sets/folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/available_memory.h"
#include "core/base/directory_lock.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/option_name.h"
#include "core/base/printable.h"
#include "core/base/table.h"
#include "core/base/whole_file.h"
#include "core/memory/allocator.h"
#include "data/cache.h"
#include "data/file.h"
#include "data/images/image.h"
#include "data/sets/folder_listing.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

// Everything the pixels depend on.
std::string describe(const fs::path& directory, const FolderListing& listing, int image_size) {
  std::string text = fmt::format("decoder 1, size {}\n", image_size);
  for (const auto* files : {&listing.train, &listing.test}) {
    for (const ImageFile& file : *files) {
      text +=
          fmt::format("{} {} {}\n", file.path.lexically_relative(directory).generic_string(),
                      fs::file_size(file.path), fs::last_write_time(file.path).time_since_epoch().count());
    }
    text += '\n';
  }
  return text;
}

Tensor load(const fs::path& path, const OpenOptions& options) {
  const Tensor image = decode_image(path, 3, options.max_pixels);
  if (options.image_size == 0) return image;
  try {
    return resize_image(image, options.image_size, options.max_pixels);
  } catch (const TooManyPixels& error) {
    throw TooManyPixels(message("{}: {}", printable(path.native()), error.what()));
  }
}

// What all images must be like.
struct Example {
  fs::path path;
  Shape shape;
};

// The first image that is none of the damaged ones.
Example find_example(const std::vector<ImageFile>& files, const OpenOptions& options) {
  for (const ImageFile& file : files) {
    try {
      return {file.path, load(file.path, options).shape()};
    } catch (const DamagedImage&) {
      if (!options.skip_damaged) throw;
    }
  }
  fail("{}: and all other training images are damaged, too", printable(files.front().path.native()));
}

// Memory for all images of both splits, before time is spent on the first one.
DecodedFolder make_room(const fs::path& directory, const FolderListing& listing, const Shape& shape) {
  const auto train = static_cast<std::int64_t>(listing.train.size()),
             test = static_cast<std::int64_t>(listing.test.size());
  try {
    const auto room = [&](std::int64_t images) {
      return DecodedSplit{.images = Tensor::empty({images, shape[0], shape[1], shape[2]}, {DType::u8}),
                          .damaged = {}};
    };
    return {.train = room(train), .test = room(test)};
  } catch (const OutOfMemory& error) {
    const MemoryShortage& shortage = error.shortage();
    const auto needed = static_cast<double>(train + test) * static_cast<double>(shape.elements());
    fail(
        "{}: {} images of {}×{} pixels need {} of memory, and at most {} can be had ({}). Set a smaller {}, "
        "or use a folder with fewer images",
        printable(directory.native()), format_count(train + test), shape[1], shape[0], format_bytes(needed),
        format_bytes(static_cast<double>(shortage.most_bytes)), describe_available_memory(),
        option_name("image_size"));
  }
}

// Moves the images that are not damaged together.
void close_gaps(DecodedSplit& split) {
  std::int64_t kept = 0;
  auto damaged = split.damaged.begin();
  for (std::int64_t i = 0; i < split.images.size(0); ++i) {
    if (damaged != split.damaged.end() && damaged->index == i) {
      ++damaged;
    } else {
      const Tensor from = split.images.rows(i, 1);
      std::memmove(split.images.rows(kept++, 1).raw(), from.raw(), from.bytes());
    }
  }
  split.images = split.images.rows(0, kept);
}

void decode_all(const std::vector<ImageFile>& files, const Example& example, const OpenOptions& options,
                DecodedSplit& split) {
  std::vector<std::string> reasons(files.size());  // of the damaged ones
  for_each_index(std::ssize(files), options.threads, [&](std::int64_t i) {
    const fs::path& path = files[static_cast<std::size_t>(i)].path;
    try {
      const Tensor image = load(path, options);
      check(image.shape() == example.shape,
            "images of different sizes: {} has {}×{} pixels, {} has {}×{} (width×height). Make them one size "
            "or set {} to have them resized and cropped",
            printable(example.path.native()), example.shape[1], example.shape[0], printable(path.native()),
            image.size(1), image.size(0), option_name("image_size"));
      std::memcpy(split.images.rows(i, 1).raw(), image.raw(), image.bytes());
    } catch (const DamagedImage& error) {
      if (!options.skip_damaged) throw;
      reasons[static_cast<std::size_t>(i)] = error.what();
    }
  });
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    if (!reasons[i].empty()) split.damaged.push_back({static_cast<std::int64_t>(i), printable(reasons[i])});
  }
  if (!split.damaged.empty()) close_gaps(split);
}

DecodedFolder decode(const fs::path& directory, const FolderListing& listing, const OpenOptions& options) {
  if (options.notify) {
    options.notify(fmt::format("decoding {} images of {} …", listing.train.size() + listing.test.size(),
                               printable(directory.native())));
  }
  const Example example = find_example(listing.train, options);
  DecodedFolder decoded = make_room(directory, listing, example.shape);
  decode_all(listing.train, example, options, decoded.train);
  decode_all(listing.test, example, options, decoded.test);
  return decoded;
}

DecodedFolder decode_or_read_cache(const fs::path& directory, const FolderListing& listing,
                                   const OpenOptions& options) {
  const auto key =
      options.cache ? cache_key(directory, describe(directory, listing, options.image_size)) : std::nullopt;
  if (!key) return decode(directory, listing, options);
  if (auto cached = read_cache(*key, options.notify)) return *cached;
  // Of programs that are started together, as the ranks of a machine, one decodes.
  const DirectoryLock alone(directory, [&] {
    if (options.notify)
      options.notify(
          fmt::format("waiting for another program, which decodes {}", printable(directory.native())));
  });
  if (auto cached = read_cache(*key, {})) return *cached;
  const DecodedFolder decoded = decode(directory, listing, options);
  write_cache(*key, decoded, options.notify);
  if (auto cached = read_cache(*key, {})) return *cached;  // whose memory is shared
  return decoded;
}

// The damaged images of both splits: an error, unless they are to be left out.
void report_damaged(const DecodedFolder& decoded, const OpenOptions& options, Dataset& dataset) {
  std::vector<std::string> reasons;
  for (const DecodedSplit* split : {&decoded.train, &decoded.test})
    for (const DamagedFile& file : split->damaged) reasons.push_back(file.reason);
  if (reasons.empty()) return;
  if (!options.skip_damaged) throw DamagedImage(reasons.front());
  constexpr std::size_t most_shown = 10;
  const std::size_t count = std::min(reasons.size(), most_shown);
  const std::string summary =
      fmt::format("{} damaged image{} left out", reasons.size(), reasons.size() == 1 ? "" : "s");
  std::string text = fmt::format("warning: {}:", summary);
  for (std::size_t i = 0; i < count; ++i) text += "\n  " + reasons[i];
  if (reasons.size() > count) text += fmt::format("\n  and {} more", reasons.size() - count);
  if (options.notify) options.notify(text);
  dataset.notes.push_back(summary);
}

Split make_split(const DecodedSplit& decoded, const std::vector<ImageFile>& files, std::size_t classes) {
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> listed(classes), left(classes);  // files of each class
  auto damaged = decoded.damaged.begin();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto label = static_cast<std::size_t>(files[i].label);
    ++listed[label];
    if (damaged != decoded.damaged.end() && damaged->index == static_cast<std::int64_t>(i)) {
      ++damaged;
    } else {
      ++left[label];
      labels.push_back(files[i].label);
    }
  }
  for (const ImageFile& file : files)
    check(left[static_cast<std::size_t>(file.label)] > 0,
          "{}: and all other images of its class in this split are damaged, too",
          printable(file.path.native()));
  check(decoded.images.size(0) == std::ssize(labels), "{} decoded images for {} files",
        decoded.images.size(0), labels.size());
  Split split;
  split.images = decoded.images;
  split.labels = Tensor::from(labels, {std::ssize(labels)});
  return split;
}

// All but finish().
Dataset read_folder(const fs::path& directory, const OpenOptions& options) try {
  const FolderListing listing = list_folder(directory);
  const DecodedFolder decoded = decode_or_read_cache(directory, listing, options);
  Dataset dataset;
  dataset.classes = listing.classes;
  dataset.notes = listing.left_out.notes();
  report_damaged(decoded, options, dataset);
  dataset.train = make_split(decoded.train, listing.train, listing.classes.size());
  dataset.test = make_split(decoded.test, listing.test, listing.classes.size());
  return dataset;
} catch (const fs::filesystem_error& error) {
  fail("{}: cannot be looked at: {}", printable(error.path1().native()), error.code().message());
}

// "n01641577" becomes "bullfrog, Rana catesbeiana", if `words` is there and has it.
void name_classes(const fs::path& words, std::vector<std::string>& classes) {
  if (!is_there(words)) return;
  std::unordered_map<std::string, std::string> readable;
  for (const std::string& line : read_lines(words)) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string::npos) readable.emplace(line.substr(0, tab), line.substr(tab + 1));
  }
  for (std::string& name : classes) {
    if (const auto found = readable.find(name); found != readable.end()) name = found->second;
    check_class_name(name, printable(words.native()));
  }
}

}  // namespace

Dataset folder(const fs::path& directory, const OpenOptions& options) {
  const std::string source = printable(directory.native());
  Dataset dataset = read_folder(directory, options);
  dataset.name = "folder";
  return finish(std::move(dataset), options, source, source);
}

Dataset tiny_imagenet(const fs::path& directory, const OpenOptions& options) {
  const std::string source = printable(directory.native());
  Dataset dataset = read_folder(directory, options);
  dataset.name = "tiny-imagenet";
  name_classes(directory / "words.txt", dataset.classes);
  return finish(std::move(dataset), options, source, source);
}

}  // namespace lamina::data
