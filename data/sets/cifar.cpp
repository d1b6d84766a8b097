#include "data/sets/cifar.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"
#include "core/base/regular_file.h"
#include "data/file.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t side = 32, plane = side * side, image_bytes = 3 * plane;

struct File {
  std::string name;
  std::int64_t original_images;
};

struct Format {
  const char* name;
  std::vector<File> train, test;
  std::int64_t label_bytes;  // the last one is the label
  const char* class_file;
  std::vector<std::string> classes;

  std::int64_t record_bytes() const { return label_bytes + image_bytes; }
};

void check_present(const Format& format, const fs::path& directory) {
  std::vector<std::string> missing;
  for (const auto* files : {&format.train, &format.test}) {
    for (const File& file : *files) {
      if (!is_there(directory / file.name)) missing.push_back(file.name);
    }
  }
  check(missing.empty(), "{}: {} lacks {}; expected the files of the binary version, unpacked", format.name,
        printable(directory.native()), fmt::join(missing, ", "));
}

std::vector<std::string> read_classes(const Format& format, const fs::path& directory) {
  const fs::path path = directory / format.class_file;
  if (!is_there(path)) return format.classes;
  std::vector<std::string> classes = read_lines(path);
  check(classes.size() == format.classes.size(), "{}: {} class names; expected {}", printable(path.native()),
        classes.size(), format.classes.size());
  for (const std::string& name : classes) check_class_name(name, printable(path.native()));
  return classes;
}

// Records into `pixels`, planes interleaved, and `labels`. `first`: the number of the first one in its file.
void unpack(const Format& format, std::span<const std::uint8_t> records, const std::string& file,
            std::int64_t first, std::uint8_t* pixels, std::int32_t* labels) {
  const auto record_bytes = static_cast<std::size_t>(format.record_bytes());
  const auto label_bytes = static_cast<std::size_t>(format.label_bytes);
  for (std::size_t start = 0; start < records.size(); start += record_bytes, ++first) {
    const std::uint8_t* planes = &records[start + label_bytes];
    const std::int32_t label = planes[-1];
    check(label < static_cast<std::int32_t>(format.classes.size()),
          "{}: record {} (at byte {}) has label {}; expected 0 to {}", file, first,
          first * format.record_bytes(), label, format.classes.size() - 1);
    *labels++ = label;
    for (std::int64_t p = 0; p < plane; ++p) {
      for (std::int64_t c = 0; c < 3; ++c) *pixels++ = planes[c * plane + p];
    }
  }
}

// Of a file of `size` bytes; throws if they are not whole records.
std::int64_t count_images(const Format& format, const fs::path& path, std::int64_t size,
                          std::int64_t original, const Notify& notify) {
  check(size > 0 && size % format.record_bytes() == 0,
        "{}: {} bytes; expected a whole number of {}-byte records ({} bytes in the original). The file is "
        "truncated, or not of the binary version",
        printable(path.native()), size, format.record_bytes(), original * format.record_bytes());
  const std::int64_t images = size / format.record_bytes();
  if (images != original && notify) {
    notify(fmt::format("note: {} holds {} images; the original holds {}", printable(path.native()), images,
                       original));
  }
  return images;
}

// Consecutive records of one file, so few that they stay in a core's cache while they are unpacked.
struct Piece {
  const RegularFile* file;
  std::int64_t first, count;  // in it
  std::int64_t image;         // the first one's, of the split
};

Split read_split(const Format& format, const fs::path& directory, const std::vector<File>& files,
                 const OpenOptions& options) {
  constexpr std::int64_t most = 128;
  std::vector<std::unique_ptr<RegularFile>> opened;
  std::vector<Piece> pieces;
  std::int64_t images = 0;
  for (const File& file : files) {
    const fs::path path = directory / file.name;
    opened.push_back(std::make_unique<RegularFile>(path));
    const std::int64_t count = count_images(format, path, static_cast<std::int64_t>(opened.back()->size()),
                                            file.original_images, options.notify);
    for (std::int64_t first = 0; first < count; first += most)
      pieces.push_back({opened.back().get(), first, std::min(most, count - first), images + first});
    images += count;
  }
  Split split;
  split.images = Tensor::empty({images, side, side, 3}, {.dtype = DType::u8});
  split.labels = Tensor::empty({images}, {.dtype = DType::i32});
  for_each_index(std::ssize(pieces), options.threads, [&](std::int64_t i) {
    const Piece& piece = pieces[static_cast<std::size_t>(i)];
    std::vector<std::uint8_t> records(static_cast<std::size_t>(piece.count * format.record_bytes()));
    piece.file->read_at(static_cast<std::uint64_t>(piece.first * format.record_bytes()), records.data(),
                        records.size());
    unpack(format, records, piece.file->name(), piece.first,
           split.images.data<std::uint8_t>() + piece.image * image_bytes,
           split.labels.data<std::int32_t>() + piece.image);
  });
  return split;
}

Dataset read(const Format& format, const fs::path& directory, const OpenOptions& options) {
  check_present(format, directory);
  Dataset dataset;
  dataset.name = format.name;
  dataset.classes = read_classes(format, directory);
  dataset.train = read_split(format, directory, format.train, options);
  dataset.test = read_split(format, directory, format.test, options);
  return finish(std::move(dataset), options, printable(directory.native()), printable(directory.native()));
}

constexpr const char* cifar10_classes = "airplane automobile bird cat deer dog frog horse ship truck";
constexpr const char* cifar100_classes =
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly "
    "camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile "
    "cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp "
    "lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom "
    "oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine "
    "possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake "
    "spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor "
    "train trout tulip turtle wardrobe whale willow_tree wolf woman worm";

std::vector<std::string> words(const char* text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

}  // namespace

Dataset cifar10(const fs::path& directory, const OpenOptions& options) {
  return read({.name = "cifar10",
               .train = {{"data_batch_1.bin", 10000},
                         {"data_batch_2.bin", 10000},
                         {"data_batch_3.bin", 10000},
                         {"data_batch_4.bin", 10000},
                         {"data_batch_5.bin", 10000}},
               .test = {{"test_batch.bin", 10000}},
               .label_bytes = 1,
               .class_file = "batches.meta.txt",
               .classes = words(cifar10_classes)},
              directory, options);
}

Dataset cifar100(const fs::path& directory, const OpenOptions& options) {
  return read({.name = "cifar100",
               .train = {{"train.bin", 50000}},
               .test = {{"test.bin", 10000}},
               .label_bytes = 2,
               .class_file = "fine_label_names.txt",
               .classes = words(cifar100_classes)},
              directory, options);
}

}  // namespace lamina::data
