// Data sets: labelled images, held in memory as bytes. open("cifar10:DIR") finds and reads one by its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "data/identity.h"
#include "data/images/image.h"

namespace lamina::data {

struct Sample {
  Tensor image;  // u8 [H, W, C], a view into the split
  int label = 0;
};

// The training or the test images of a data set. A small handle: copies share the pixels.
struct Split {
  Tensor images;                 // u8 [N, H, W, C], on any device
  Tensor labels;                 // i32 [N], on the CPU
  std::vector<float> mean, std;  // per channel, of pixel / 255; what the loader normalises with

  std::int64_t size() const { return images.defined() ? images.size(0) : 0; }
  std::int64_t height() const { return images.size(1); }
  std::int64_t width() const { return images.size(2); }
  std::int64_t channels() const { return images.size(3); }
  Sample get(std::int64_t i) const;  // throws Error outside [0, size())
};

// The chosen rows, in the order given, copied.
Split subset(const Split& split, std::span<const std::int64_t> rows);
// The first `count` rows of a fixed random order: the same ones in every run, and a larger count adds to a
// smaller one. All of the split, untouched, if count <= 0 or count >= size().
Split limit(const Split& split, std::int64_t count);

// A split in two parts that share no image.
struct HeldOut {
  Split rest, held_out;
};
// Holds out `count` images: the first of a fixed random order, the same ones in every run whatever its seed;
// a larger count adds to a smaller one. It is another order than limit()'s. Both parts are copies in the
// split's order and keep the statistics of the whole. Throws UsageError unless 0 < count < size().
HeldOut hold_out(const Split& split, std::int64_t count);

struct Dataset {
  std::string name;  // as given to open(), without the directory
  std::vector<std::string> classes;
  Split train, test;                    // both carry the statistics of the whole training split
  DataIdentity identity = {};           // of the whole data set, before the limits
  std::vector<std::string> notes = {};  // what was left out: "3 files of other kinds left out: 2 .csv, 1 .db"

  const std::vector<float>& mean() const { return train.mean; }
  const std::vector<float>& std() const { return train.std; }
};

// Where notes for the user go ("decoding 100000 images …"). The default writes lines to standard error.
using Notify = std::function<void(const std::string& line)>;
void notify_stderr(const std::string& line);

struct OpenOptions {
  std::int64_t limit_train = 0;  // 0: all; see limit()
  std::int64_t limit_test = 0;
  int image_size = 0;  // folders only: shorter side resized to it, then centre-cropped to a square; 0: keep
  bool cache = true;   // folders only: keep the decoded images for the next start
  // Folders only: go on without images that cannot be decoded; `notify` is told which, the notes how many.
  bool skip_damaged = false;
  std::int64_t max_pixels = data::max_pixels;  // folders only: larger images are refused when decoded
  int threads = 0;  // of decoding and digests; 0: all cores that the process may use
  Notify notify = notify_stderr;
};

// Opens "NAME" or "NAME:DIR" (see names(); data/find.h tells where DIR is looked for). Throws UsageError for
// an unknown name, Error naming the file for missing, damaged or foreign data.
Dataset open(std::string_view spec, const OpenOptions& options = {});

// cifar10, cifar100, fashion-mnist, tiny-imagenet, folder, synthetic.
std::vector<std::string> names();
// Whether open(spec) decodes image files: only then image_size, skip_damaged and max_pixels do anything.
bool reads_image_files(std::string_view spec);
// Where open(name) would find a data set; empty if nowhere.
std::filesystem::path locate(std::string_view name);

// Throws Error for a class name that no file of a run could hold, or that would drive a terminal: one that is
// not UTF-8 or has control characters. `source`: where it was read.
void check_class_name(const std::string& name, const std::string& source);

// What every reader ends with: checks that the classes have names that can be written, that the labels lie in
// [0, classes), measures mean and std of the training images, notes what they are (data/identity.h), applies
// the limits. `train_source` and `test_source` name the data in messages.
Dataset finish(Dataset dataset, const OpenOptions& options, const std::string& train_source,
               const std::string& test_source);

// Mean and standard deviation (population) of pixel / 255 per channel, from exact integer sums. A constant
// channel gets std 1, so that normalising stays finite.
void measure(const Tensor& images, std::vector<float>& mean, std::vector<float>& std);

}  // namespace lamina::data
