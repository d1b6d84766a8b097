// Opening by name, where data is looked for, limits, statistics, synthetic images.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>

#include "core/random.h"
#include "data/dataset.h"
#include "data/file.h"
#include "data/find.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

void write_test_folder(const fs::path& directory, std::uint8_t red) {
  write_file(directory / "train/a/1.png", plain_png(2, 2, red, 0, 0));
  write_file(directory / "test/a/1.png", plain_png(2, 2, red, 0, 0));
}

int red_of(const data::Dataset& set) { return set.train.get(0).image.data<std::uint8_t>()[0]; }

data::Dataset small_synthetic(std::int64_t train = 200, std::uint64_t seed = 0) {
  return data::synthetic({.classes = 4, .height = 8, .width = 12, .train = train, .test = 40, .seed = seed},
                         quiet());
}

// Image i is one pixel of value i with label i % 5.
data::Split numbered(std::int64_t size) {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < size; ++i) {
    pixels.push_back(static_cast<std::uint8_t>(i));
    labels.push_back(static_cast<std::int32_t>(i % 5));
  }
  return {.images = Tensor::from(pixels, {size, 1, 1, 1}),
          .labels = Tensor::from(labels, {size}),
          .mean = {0.25f},
          .std = {0.5f}};
}

std::vector<int> numbers_of(const data::Split& split) {
  const auto pixels = split.images.to_vector<std::uint8_t>();
  return {pixels.begin(), pixels.end()};
}

}  // namespace

TEST_CASE("unknown names list the known ones", "[data][open]") {
  check_error([] { data::open("cifar11:/tmp", quiet()); },
              {"'cifar11'", "cifar10, cifar100, fashion-mnist, tiny-imagenet, folder, synthetic"});
  CHECK_THROWS_AS(data::open("", quiet()), UsageError);
  CHECK_THROWS_AS(data::open("synthetic:32x32", quiet()), UsageError);
  CHECK_THROWS_AS(data::open("synthetic:0x8x3x10", quiet()), UsageError);
  data::OpenOptions resized = quiet();
  resized.image_size = 64;
  check_error([&] { data::open("cifar10", resized); }, {"cifar10", "fixed size"});
}

TEST_CASE("a size for images that have their own is refused", "[data][open]") {
  for (const char* name : {"synthetic", "synthetic:8x8x3x4", "cifar10"}) {
    INFO(name);
    CHECK_FALSE(data::reads_image_files(name));
    check_error([&] { data::open(name, {.image_size = 16}); },
                {"images have a fixed size", "can be resized"});
  }
  CHECK(data::reads_image_files("folder:/somewhere"));
}

TEST_CASE("data is looked for in $LAMINA_DATA, then in the cache", "[data][open]") {
  const TemporaryDirectory directory;
  const Environment cache("XDG_CACHE_HOME", directory / "cache");
  const Environment own("LAMINA_DATA", directory / "own");

  check_error([] { data::open("tiny-imagenet", quiet()); },
              {directory / "own/tiny-imagenet", directory / "own/tiny-imagenet-200",
               directory / "cache/lamina/tiny-imagenet", "/usr/share/datasets/tiny-imagenet",
               "scripts/get-data", "tiny-imagenet:DIR"});
  write_test_folder(directory / "cache/lamina/tiny-imagenet", 1);
  CHECK(red_of(data::open("tiny-imagenet", quiet())) == 1);
  write_test_folder(directory / "own", 2);
  CHECK(red_of(data::open("tiny-imagenet", quiet())) == 2);
  write_test_folder(directory / "own/tiny-imagenet-200", 3);
  CHECK(red_of(data::open("tiny-imagenet", quiet())) == 3);
  write_test_folder(directory / "own/tiny-imagenet", 4);
  CHECK(red_of(data::open("tiny-imagenet", quiet())) == 4);
}

TEST_CASE("a directory that is named is used, or the official folder in it", "[data][open]") {
  const TemporaryDirectory directory;
  write_test_folder(directory / "tiny-imagenet-200", 5);
  const std::string spec = "tiny-imagenet:" + directory.path().string();
  CHECK(red_of(data::open(spec, quiet())) == 5);
  CHECK(red_of(data::open(spec + "/tiny-imagenet-200", quiet())) == 5);
  check_error([&] { data::open(spec + "/absent", quiet()); }, {"no such directory", "/absent"});
  check_error([&] { data::open("cifar10:" + directory.path().string(), quiet()); },
              {directory.path().string(), "data_batch_1.bin"});
}

TEST_CASE("what is easily given for a data set is told what it lacks", "[data][open]") {
  const TemporaryDirectory directory;
  const Environment home("HOME", directory.path().string());
  write_test_folder(directory / "images", 5);
  CHECK(red_of(data::open("folder:~/images", quiet())) == 5);
  const std::string images = directory / "images";
  check_error([&] { data::open(images, quiet()); }, {"unknown data set", "folder:" + images});
  write_file(directory / "cifar.tar.gz", "x");
  check_error([] { data::open("cifar10:~/cifar.tar.gz", quiet()); }, {"cifar.tar.gz", "a file", "unpack it"});
  fs::create_symlink("/not/mounted", directory / "link");
  check_error([] { data::open("cifar10:~/link", quiet()); }, {"/link", "a link to /not/mounted"});
  fs::create_directory(directory / "cifar");
  fs::create_symlink("/not/mounted", directory / "cifar/data_batch_1.bin");
  check_error([] { data::open("cifar10:~/cifar", quiet()); }, {"data_batch_1.bin", "a link to /not/mounted"});
}

TEST_CASE("without threads everything is done by the one there is", "[data][threads]") {
  pthread_attr_t usual, impossible;
  REQUIRE(pthread_getattr_default_np(&usual) == 0);
  REQUIRE(pthread_attr_init(&impossible) == 0);
  REQUIRE(pthread_attr_setstacksize(&impossible, std::size_t{1} << 50) == 0);
  REQUIRE(pthread_setattr_default_np(&impossible) == 0);
  std::atomic<std::int64_t> sum = 0;
  CHECK_NOTHROW(data::for_each_index(10, 4, [&](std::int64_t i) { sum += i; }));
  std::int64_t samples = 0;
  CHECK_NOTHROW([&] {
    const data::Loader loader(small_synthetic().train, {.batch = 50, .workers = 2});
    for (const data::Part& part : loader.epoch(0)) samples += part.size();
  }());
  CHECK(pthread_setattr_default_np(&usual) == 0);
  CHECK(sum == 45);
  CHECK(samples == 200);
}

TEST_CASE("get() checks its index", "[data][split]") {
  const data::Dataset set = small_synthetic();
  CHECK(set.train.get(199).label == 3);
  CHECK(set.train.get(5).image.shape() == Shape{8, 12, 3});
  check_error([&] { set.train.get(200); }, {"image 200 of 200"});
  check_error([&] { set.train.get(-1); }, {"image -1 of 200"});
}

TEST_CASE("limits take the same images every time, and more add to fewer", "[data][split]") {
  const data::Dataset set = small_synthetic();
  const data::Split ten = data::limit(set.train, 10), thirty = data::limit(set.train, 30);
  CHECK(ten.images.to_vector<std::uint8_t>() == thirty.images.rows(0, 10).to_vector<std::uint8_t>());
  std::set<std::int32_t> classes;
  for (const std::int32_t label : ten.labels.to_vector<std::int32_t>()) classes.insert(label);
  CHECK(classes.size() > 1);
  CHECK(data::limit(set.train, 0).size() == 200);
  CHECK(data::limit(set.train, 1000).size() == 200);

  data::OpenOptions options = quiet();
  options.limit_train = 7;
  options.limit_test = 5;
  const data::Dataset limited = data::open("synthetic:8x8x1x3", options);
  CHECK(limited.train.size() == 7);
  CHECK(limited.test.size() == 5);
  // Statistics stay those of the whole set.
  CHECK(limited.mean() == data::open("synthetic:8x8x1x3", quiet()).mean());
  CHECK(limited.test.mean == limited.mean());
}

TEST_CASE("a held-out split and the rest are the split, in two", "[data][split]") {
  const data::Split split = numbered(50);
  const data::HeldOut two = data::hold_out(split, 20);
  const auto held = numbers_of(two.held_out), rest = numbers_of(two.rest);
  CHECK(held.size() == 20);
  CHECK(rest.size() == 30);
  std::set<int> all(held.begin(), held.end());
  all.insert(rest.begin(), rest.end());
  CHECK(all.size() == 50);  // disjoint and complete
  CHECK(std::is_sorted(held.begin(), held.end()));
  CHECK(std::is_sorted(rest.begin(), rest.end()));
  CHECK(held.back() - held.front() > 25);  // spread over the split
  for (const data::Split* part : {&two.held_out, &two.rest}) {
    CHECK(part->mean == split.mean);
    CHECK(part->std == split.std);
    for (std::int64_t i = 0; i < part->size(); ++i)
      CHECK(part->get(i).label == numbers_of(*part)[static_cast<std::size_t>(i)] % 5);
  }
}

TEST_CASE("the same images are held out in every run, and more add to fewer", "[data][split]") {
  const data::Split split = numbered(50);
  const auto held = numbers_of(data::hold_out(split, 20).held_out);
  const std::uint64_t before = seed();
  seed(before + 1);
  CHECK(numbers_of(data::hold_out(split, 20).held_out) == held);
  seed(before);
  const auto more = numbers_of(data::hold_out(split, 35).held_out);
  CHECK(std::includes(more.begin(), more.end(), held.begin(), held.end()));
  CHECK(data::hold_out(split, 1).held_out.size() == 1);
  CHECK(data::hold_out(split, 49).rest.size() == 1);
}

TEST_CASE("holding out works after a limit, by another order", "[data][split]") {
  const data::Split split = numbered(50), limited = data::limit(split, 30);
  auto first = numbers_of(data::limit(split, 10));
  std::sort(first.begin(), first.end());
  CHECK(numbers_of(data::hold_out(split, 10).held_out) != first);

  const data::HeldOut two = data::hold_out(limited, 10);
  auto kept = numbers_of(limited);
  const std::set<int> beginning(kept.begin(), kept.begin() + 10);
  const auto held = numbers_of(two.held_out);
  CHECK(std::set<int>(held.begin(), held.end()) != beginning);
  auto both = numbers_of(two.rest);
  both.insert(both.end(), held.begin(), held.end());
  std::sort(both.begin(), both.end());
  std::sort(kept.begin(), kept.end());
  CHECK(both == kept);
  CHECK(two.rest.mean == split.mean);
}

TEST_CASE("nothing or everything cannot be held out", "[data][split]") {
  const data::Split split = numbered(50);
  for (const std::int64_t count : {-1, 0, 50, 51}) CHECK_THROWS_AS(data::hold_out(split, count), UsageError);
  check_error([&] { data::hold_out(split, 50); }, {"hold_out", "50 of 50 images", "at least 1"});
  CHECK_THROWS_AS(data::hold_out({}, 1), UsageError);
}

TEST_CASE("mean and std are exact, per channel", "[data][split]") {
  // More images than are summed at once, and a channel count that divides nothing.
  const std::int64_t n = 9001, pixels = 5, channels = 3;
  std::vector<std::uint8_t> bytes;
  std::vector<double> sum(3), square(3);
  for (std::int64_t i = 0; i < n * pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const auto value = static_cast<std::uint8_t>(c == 2 ? 200 : (i * 7919 >> c) % 251);
      bytes.push_back(value);
      sum[c] += value;
      square[c] += value * value;
    }
  }
  std::vector<float> mean, std;
  data::measure(Tensor::from(bytes, {n, 1, pixels, channels}), mean, std);
  for (std::size_t c = 0; c < 3; ++c) {
    const double m = sum[c] / static_cast<double>(n * pixels);
    const double s = std::sqrt(square[c] / static_cast<double>(n * pixels) - m * m);
    // One rounding to f32.
    CHECK(std::abs(mean[c] * 255.0 / m - 1) < 1e-7);
    if (c < 2) CHECK(std::abs(std[c] * 255.0 / s - 1) < 1e-7);
  }
  CHECK(std[2] == 1.0f);  // a constant channel
}

TEST_CASE("synthetic images are a pure function of their options, and can be told apart",
          "[data][synthetic]") {
  const data::Dataset set = small_synthetic();
  CHECK(set.train.images.to_vector<std::uint8_t>() ==
        small_synthetic().train.images.to_vector<std::uint8_t>());
  CHECK(set.train.images.to_vector<std::uint8_t>() !=
        small_synthetic(200, 1).train.images.to_vector<std::uint8_t>());
  // Image i does not depend on how many there are.
  CHECK(set.train.images.rows(0, 20).to_vector<std::uint8_t>() ==
        small_synthetic(20).train.images.to_vector<std::uint8_t>());
  CHECK(set.train.images.rows(0, 40).to_vector<std::uint8_t>() != set.test.images.to_vector<std::uint8_t>());

  // The nearest class mean of the training images classifies nearly every test image.
  const std::size_t size = 8 * 12 * 3;
  std::vector<std::vector<double>> means(4, std::vector<double>(size));
  for (std::int64_t i = 0; i < set.train.size(); ++i) {
    const data::Sample sample = set.train.get(i);
    for (std::size_t p = 0; p < size; ++p)
      means[static_cast<std::size_t>(sample.label)][p] += sample.image.data<std::uint8_t>()[p] / 50.0;
  }
  int right = 0;
  for (std::int64_t i = 0; i < set.test.size(); ++i) {
    const data::Sample sample = set.test.get(i);
    std::vector<double> distance(4);
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t p = 0; p < size; ++p)
        distance[k] += std::pow(means[k][p] - sample.image.data<std::uint8_t>()[p], 2);
    right += std::min_element(distance.begin(), distance.end()) - distance.begin() == sample.label;
  }
  CHECK(right >= 38);
}
