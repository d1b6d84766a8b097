#include "data/sets/folder.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <unordered_map>
#include <vector>

#include "core/base/error.h"
#include "data/cache.h"
#include "data/file.h"
#include "data/images/image.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

struct ImageFile {
  fs::path path;
  std::int32_t label = 0;
};

struct Listing {
  std::vector<std::string> classes;
  std::vector<ImageFile> train, test;
};

using ClassNumbers = std::unordered_map<std::string, std::int32_t>;

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

std::vector<std::string> subfolders(const fs::path& directory) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.is_directory() && !hidden(entry.path())) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// All image files below `directory`, sorted by path.
std::vector<fs::path> images_below(const fs::path& directory) {
  std::vector<fs::path> files;
  fs::recursive_directory_iterator walk(directory, fs::directory_options::follow_directory_symlink);
  for (const fs::directory_entry& entry : walk) {
    if (hidden(entry.path())) {
      if (entry.is_directory()) walk.disable_recursion_pending();
    } else if (entry.is_regular_file() && entry.path().extension() != ".txt") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<ImageFile> list_class_folders(const fs::path& split, const ClassNumbers& numbers) {
  std::vector<ImageFile> files;
  for (const std::string& name : subfolders(split)) {
    const fs::path folder = split / name;
    const auto number = numbers.find(name);
    check(number != numbers.end(), "{}: no class of that name in the train folder", folder.string());
    const std::vector<fs::path> images = images_below(folder);
    check(!images.empty(), "{}: no images in this class folder; add some or remove it", folder.string());
    for (const fs::path& image : images) files.push_back({image, number->second});
  }
  return files;
}

// Tiny ImageNet's validation images: val/images/NAME, and lines "NAME\tWNID\t…" in val_annotations.txt.
std::vector<ImageFile> list_annotated(const fs::path& split, const ClassNumbers& numbers) {
  const fs::path annotations = split / "val_annotations.txt";
  std::vector<ImageFile> files;
  std::set<fs::path> listed;
  for (const std::string& line : read_lines(annotations)) {
    const std::size_t first = line.find('\t');
    check(first != std::string::npos, "{}: '{}' is not NAME<tab>CLASS…", annotations.string(), line);
    const std::string name = line.substr(first + 1, line.find('\t', first + 1) - first - 1);
    const auto number = numbers.find(name);
    check(number != numbers.end(), "{}: class '{}' of {} has no train folder", annotations.string(), name,
          line.substr(0, first));
    files.push_back({split / "images" / line.substr(0, first), number->second});
    check(fs::exists(files.back().path), "{}: lists {}, which does not exist", annotations.string(),
          files.back().path.string());
    listed.insert(files.back().path);
  }
  for (const fs::path& image : images_below(split / "images")) {
    check(listed.contains(image), "{}: no line for {}", annotations.string(), image.string());
  }
  return files;
}

// test/ or val/, whichever has labels: folders named as the training classes, or annotations.
std::vector<ImageFile> list_test(const fs::path& directory, const ClassNumbers& numbers) {
  for (const char* name : {"test", "val"}) {
    const fs::path split = directory / name;
    if (!fs::is_directory(split)) continue;
    if (fs::exists(split / "val_annotations.txt")) return list_annotated(split, numbers);
    const std::vector<std::string> folders = subfolders(split);
    const bool labelled = std::any_of(folders.begin(), folders.end(),
                                      [&](const std::string& folder) { return numbers.contains(folder); });
    if (labelled) return list_class_folders(split, numbers);
  }
  fail("{}: neither test/ nor val/ holds class folders of the same names as those in train/",
       directory.string());
}

Listing list_files(const fs::path& directory) {
  const fs::path train = directory / "train";
  check(fs::is_directory(train), "{}: has no folder 'train'; expected train/<class>/… and test/<class>/…",
        directory.string());
  Listing listing;
  listing.classes = subfolders(train);
  check(!listing.classes.empty(), "{}: has no class folders", train.string());
  ClassNumbers numbers;
  for (const std::string& name : listing.classes) {
    numbers.emplace(name, static_cast<std::int32_t>(numbers.size()));
  }
  listing.train = list_class_folders(train, numbers);
  listing.test = list_test(directory, numbers);
  return listing;
}

// Everything the pixels depend on.
std::string describe(const fs::path& directory, const Listing& listing, int image_size) {
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

Tensor load(const fs::path& path, int image_size) {
  const Tensor image = decode_image(path);
  return image_size > 0 ? resize_image(image, image_size) : image;
}

// All images of a split; every one must have the shape of the image at `first`.
Tensor decode_all(const std::vector<ImageFile>& files, const fs::path& first, const OpenOptions& options) {
  const Shape shape = load(first, options.image_size).shape();
  const auto count = static_cast<std::int64_t>(files.size());
  Tensor images = Tensor::empty({count, shape[0], shape[1], shape[2]}, {.dtype = DType::u8});
  for_each_index(count, options.threads, [&](std::int64_t i) {
    const fs::path& path = files[static_cast<std::size_t>(i)].path;
    const Tensor image = load(path, options.image_size);
    check(image.shape() == shape,
          "images of different sizes: {} has {}×{} pixels, {} has {}×{} (width×height). Make them one size "
          "or set image_size to have them resized and cropped",
          first.string(), shape[1], shape[0], path.string(), image.size(1), image.size(0));
    std::memcpy(images.rows(i, 1).raw(), image.raw(), image.bytes());
  });
  return images;
}

DecodedFolder decode(const fs::path& directory, const Listing& listing, const OpenOptions& options) {
  if (options.notify) {
    options.notify(fmt::format("decoding {} images of {} …", listing.train.size() + listing.test.size(),
                               directory.string()));
  }
  const fs::path& first = listing.train.front().path;
  return {decode_all(listing.train, first, options), decode_all(listing.test, first, options)};
}

DecodedFolder decode_or_read_cache(const fs::path& directory, const Listing& listing,
                                   const OpenOptions& options) {
  const auto key =
      options.cache ? cache_key(directory, describe(directory, listing, options.image_size)) : std::nullopt;
  if (!key) return decode(directory, listing, options);
  if (auto cached = read_cache(*key, options.notify)) return *cached;
  DecodedFolder decoded = decode(directory, listing, options);
  write_cache(*key, decoded, options.notify);
  return decoded;
}

Split make_split(const Tensor& images, const std::vector<ImageFile>& files) {
  std::vector<std::int32_t> labels;
  labels.reserve(files.size());
  for (const ImageFile& file : files) labels.push_back(file.label);
  check(images.size(0) == static_cast<std::int64_t>(labels.size()), "{} decoded images for {} files",
        images.size(0), labels.size());
  Split split;
  split.images = images;
  split.labels = Tensor::from(labels, {static_cast<std::int64_t>(labels.size())});
  return split;
}

}  // namespace

Dataset folder(const fs::path& directory, const OpenOptions& options) try {
  const Listing listing = list_files(directory);
  const DecodedFolder decoded = decode_or_read_cache(directory, listing, options);
  Dataset dataset;
  dataset.name = "folder";
  dataset.classes = listing.classes;
  dataset.train = make_split(decoded.train, listing.train);
  dataset.test = make_split(decoded.test, listing.test);
  return finish(std::move(dataset), options, directory.string(), directory.string());
} catch (const fs::filesystem_error& error) {
  fail("{}: cannot be read: {}", directory.string(), error.what());
}

Dataset tiny_imagenet(const fs::path& directory, const OpenOptions& options) {
  Dataset dataset = folder(directory, options);
  dataset.name = "tiny-imagenet";
  const fs::path words = directory / "words.txt";
  std::error_code ignored;
  if (!fs::exists(words, ignored)) return dataset;
  std::unordered_map<std::string, std::string> readable;  // "n01641577" -> "bullfrog, Rana catesbeiana"
  for (const std::string& line : read_lines(words)) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string::npos) readable.emplace(line.substr(0, tab), line.substr(tab + 1));
  }
  for (std::string& name : dataset.classes) {
    if (const auto found = readable.find(name); found != readable.end()) name = found->second;
  }
  return dataset;
}

}  // namespace lamina::data
