// CIFAR and IDX files: what is read from small ones, and what is said about broken ones.
#include <sys/stat.h>

#include <numeric>

#include "core/base/available_memory.h"
#include "core/base/whole_file.h"
#include "core/random.h"
#include "data/file.h"
#include "data/images/image.h"
#include "data/sets/cifar.h"
#include "data/sets/idx.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

// A record whose pixel bytes count up from the label, so that plane, row and column can be told apart.
Bytes cifar_records(const std::vector<std::uint8_t>& labels, bool coarse = false) {
  Bytes file;
  for (const std::uint8_t label : labels) {
    if (coarse) file.push_back(19);
    file.push_back(label);
    for (int i = 0; i < 3072; ++i) file.push_back(static_cast<std::uint8_t>((label + i / 7) % 256));
  }
  return file;
}

void write_cifar10(const fs::path& directory) {
  for (int i = 1; i <= 5; ++i) {
    write_file(directory / fmt::format("data_batch_{}.bin", i),
               cifar_records({static_cast<std::uint8_t>(i), 9}));
  }
  write_file(directory / "test_batch.bin", cifar_records({3, 0, 7}));
}

void write_cifar100(const fs::path& directory) {
  write_file(directory / "train.bin", cifar_records({99, 5}, true));
  write_file(directory / "test.bin", cifar_records({42}, true));
}

void write_mnist(const fs::path& directory, std::uint32_t train, std::uint32_t test) {
  for (const auto& [prefix, count] : {std::pair{"train", train}, std::pair{"t10k", test}}) {
    Bytes images(count * 28 * 28), labels(count);
    std::iota(images.begin(), images.end(), std::uint8_t{0});
    for (std::uint32_t i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
    write_file(directory / fmt::format("{}-images-idx3-ubyte", prefix), idx_file({count, 28, 28}, images));
    write_file(directory / fmt::format("{}-labels-idx1-ubyte", prefix), idx_file({count}, labels));
  }
}

std::vector<std::int32_t> labels_of(const data::Split& split) {
  return split.labels.to_vector<std::int32_t>();
}

}  // namespace

TEST_CASE("CIFAR-10's planes become interleaved pixels", "[data][cifar]") {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  const data::Dataset set = data::cifar10(directory.path(), quiet());
  CHECK(set.train.images.shape() == Shape{10, 32, 32, 3});
  CHECK(labels_of(set.train) == std::vector<std::int32_t>{1, 9, 2, 9, 3, 9, 4, 9, 5, 9});
  CHECK(labels_of(set.test) == std::vector<std::int32_t>{3, 0, 7});
  CHECK(set.classes.at(6) == "frog");
  const auto* pixel = set.test.get(2).image.data<std::uint8_t>();
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x)
      for (int c = 0; c < 3; ++c) {
        REQUIRE(*pixel++ == (7 + (c * 1024 + y * 32 + x) / 7) % 256);
      }
}

TEST_CASE("CIFAR files of many records are read in their order", "[data][cifar]") {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  std::vector<std::uint8_t> labels;
  for (int i = 0; i < 401; ++i) labels.push_back(static_cast<std::uint8_t>(i * i % 10));
  write_file(directory / "data_batch_2.bin", cifar_records(labels));
  const data::Dataset set = data::cifar10(directory.path(), quiet());
  std::vector<std::int32_t> expected{1, 9};
  expected.insert(expected.end(), labels.begin(), labels.end());
  expected.insert(expected.end(), {3, 9, 4, 9, 5, 9});
  CHECK(labels_of(set.train) == expected);
  for (std::int64_t i = 0; i < set.train.size(); ++i) {
    const auto* pixels = set.train.get(i).image.data<std::uint8_t>();
    const int label = expected[static_cast<std::size_t>(i)];
    REQUIRE(pixels[0] == label);
    REQUIRE(pixels[3071] == (label + 3071 / 7) % 256);
  }
}

TEST_CASE("CIFAR-100 uses the fine label", "[data][cifar]") {
  const TemporaryDirectory directory;
  write_cifar100(directory.path());
  const data::Dataset set = data::cifar100(directory.path(), quiet());
  CHECK(labels_of(set.train) == std::vector<std::int32_t>{99, 5});
  CHECK(set.classes.size() == 100);
  CHECK(set.classes.at(99) == "worm");
  CHECK(std::is_sorted(set.classes.begin(), set.classes.end()));
  CHECK(set.test.get(0).image.data<std::uint8_t>()[0] == 42);
}

TEST_CASE("a file that cannot be read is an error, never a short or empty one", "[data][readers]") {
  const fs::path unreadable = "/proc/self/mem";  // opens; its first byte is no memory of the process
  if (!fs::exists(unreadable)) {
    WARN("skipped: " << unreadable << " is not there");
    return;
  }
  const auto named = [&](const auto& read) { check_error(read, {unreadable.string(), "cannot be read"}); };
  named([&] { read_bytes(unreadable); });
  named([&] { data::read_lines(unreadable); });
  named([&] { data::decode_image(unreadable); });
  named([&] { data::read_idx(unreadable, 3); });
  const TemporaryDirectory directory;
  check_error([&] { data::read_lines(directory / "absent"); },
              {"absent", "cannot be opened", "No such file"});
  check_error([&] { data::read_lines(directory.path()); }, {"is a directory"});
  write_file(directory / "empty", std::string());
  CHECK(read_bytes(directory / "empty").empty());
  CHECK(data::read_lines(directory / "empty").empty());
  write_file(directory / "lines", "a b \r\n\n  \nlast");
  CHECK(data::read_lines(directory / "lines") == std::vector<std::string>{"a b", "last"});
}

TEST_CASE("class names come from the data set's own file if it is there", "[data][cifar]") {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  write_file(directory / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\r\nj\n\n");
  CHECK(data::cifar10(directory.path(), quiet()).classes.at(8) == "i");
  write_file(directory / "batches.meta.txt", "a\nb\nc\xe9\nd\ne\nf\ng\nh\ni\nj\n");
  check_error([&] { data::cifar10(directory.path(), quiet()); },
              {"batches.meta.txt", "\"c\\xe9\"", "not UTF-8"});
  write_file(directory / "batches.meta.txt", "a\nb\n");
  check_error([&] { data::cifar10(directory.path(), quiet()); },
              {"batches.meta.txt", "2 class names", "expected 10"});
}

TEST_CASE("broken CIFAR files are named", "[data][cifar]") {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  const auto open = [&] { data::cifar10(directory.path(), quiet()); };
  SECTION("missing") {
    fs::remove(directory / "data_batch_2.bin");
    fs::remove(directory / "test_batch.bin");
    check_error(open, {directory.path().string(), "data_batch_2.bin, test_batch.bin"});
  }
  SECTION("truncated") {
    fs::resize_file(directory / "data_batch_4.bin", 3073 + 3072);
    check_error(open, {"data_batch_4.bin", "6145 bytes", "3073-byte records", "30730000"});
  }
  SECTION("empty") {
    fs::resize_file(directory / "data_batch_4.bin", 0);
    check_error(open, {"data_batch_4.bin", "0 bytes"});
  }
  SECTION("label out of range") {
    write_file(directory / "data_batch_5.bin", cifar_records({1, 2, 10}));
    check_error(open, {"data_batch_5.bin", "record 2", "byte 6146", "label 10", "0 to 9"});
  }
  SECTION("label out of range, far behind") {
    std::vector<std::uint8_t> labels(300, 4);
    labels[201] = 10;
    write_file(directory / "data_batch_2.bin", cifar_records(labels));
    check_error(open, {"data_batch_2.bin", "record 201", "byte 617673", "label 10"});
  }
  SECTION("a directory of that name") {
    fs::remove(directory / "data_batch_1.bin");
    fs::create_directory(directory / "data_batch_1.bin");
    check_error(open, {"data_batch_1.bin", "is a directory"});
  }
  SECTION("fewer images than the original are noted") {
    std::vector<std::string> notes;
    data::cifar10(directory.path(), quiet(&notes));
    REQUIRE(notes.size() == 6);
    CHECK(notes.front().find("holds 2 images; the original holds 10000") != std::string::npos);
  }
}

TEST_CASE("IDX files are read plain and compressed", "[data][idx]") {
  const TemporaryDirectory directory;
  write_mnist(directory.path(), 20, 10);
  const data::Dataset plain = data::fashion_mnist(directory.path(), quiet());
  CHECK(plain.train.images.shape() == Shape{20, 28, 28, 1});
  CHECK(plain.test.get(3).label == 3);
  CHECK(plain.classes.at(9) == "Ankle boot");
  CHECK(plain.train.get(1).image.data<std::uint8_t>()[5] == (784 + 5) % 256);

  for (const auto& entry : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}) {
    write_gz(directory / (std::string(entry) + ".gz"), read_file(directory / entry));
    fs::remove(directory / entry);
  }
  const data::Dataset compressed = data::fashion_mnist(directory.path(), quiet());
  CHECK(compressed.train.images.to_vector<std::uint8_t>() == plain.train.images.to_vector<std::uint8_t>());
  CHECK(labels_of(compressed.train) == labels_of(plain.train));
}

TEST_CASE("broken IDX files are named", "[data][idx]") {
  const TemporaryDirectory directory;
  write_mnist(directory.path(), 20, 10);
  const fs::path images = directory / "train-images-idx3-ubyte",
                 labels = directory / "t10k-labels-idx1-ubyte";
  const auto open = [&] { data::fashion_mnist(directory.path(), quiet()); };
  SECTION("missing") {
    fs::remove(labels);
    check_error(open, {"t10k-labels-idx1-ubyte", "no such file", ".gz"});
  }
  SECTION("wrong magic") {
    Bytes file = read_file(images);
    file[2] = 0x0d;
    write_file(images, file);
    check_error(open, {"train-images-idx3-ubyte", "0x00000d03", "expected 0x00000803"});
  }
  SECTION("labels where images should be") {
    write_file(images, read_file(labels));
    check_error(open, {"train-images-idx3-ubyte", "0x00000801"});
  }
  SECTION("truncated data") {
    fs::resize_file(images, 1000);
    check_error(open, {"train-images-idx3-ubyte", "984 bytes", "promises 15680", "truncated"});
  }
  SECTION("truncated header") {
    fs::resize_file(images, 9);
    check_error(open, {"train-images-idx3-ubyte", "too short"});
  }
  SECTION("surplus data") {
    Bytes file = read_file(images);
    file.push_back(0);
    write_file(images, file);
    check_error(open, {"train-images-idx3-ubyte", "more data than the 15680"});
  }
  SECTION("a header that promises a terabyte costs no memory") {
    write_file(images, idx_file({0xffffffffu, 0xffffffffu, 0xffffffffu}, {1, 2, 3}));
    check_error(open, {"train-images-idx3-ubyte", "impossible extents"});
    write_file(images, idx_file({100000, 28, 28}, {1, 2, 3}));
    check_error(open, {"train-images-idx3-ubyte", "promises 78400000"});
  }
  SECTION("as many labels as images") {
    write_file(labels, idx_file({9}, Bytes(9)));
    check_error(open, {"t10k-images-idx3-ubyte", "10 images", "9 labels"});
  }
  SECTION("label out of range") {
    write_file(labels, idx_file({10}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 10}));
    check_error(open, {"t10k-labels-idx1-ubyte", "image 9", "label 10", "0 to 9"});
  }
  SECTION("images of another size in the test set") {
    write_file(directory / "t10k-images-idx3-ubyte", idx_file({10, 14, 28}, Bytes(10 * 14 * 28)));
    check_error(open, {"14×28×1", "28×28×1"});
  }
  SECTION("broken .gz") {
    Bytes noise;  // does not compress, so that half the file is half the data
    for (std::uint32_t i = 0; i < 20 * 28 * 28; ++i) {
      noise.push_back(static_cast<std::uint8_t>(Random{}.bits(i)));
    }
    write_gz(images.string() + ".gz", idx_file({20, 28, 28}, noise));
    fs::remove(images);
    CHECK_NOTHROW(open());
    Bytes file = read_file(images.string() + ".gz");
    write_file(images.string() + ".gz", Bytes(file.begin(), file.begin() + 9000));
    check_error(open, {"train-images-idx3-ubyte.gz", "damaged or truncated .gz"});
    file[file.size() - 6] ^= 1;  // the stored CRC
    write_file(images.string() + ".gz", file);
    check_error(open, {"train-images-idx3-ubyte.gz", "damaged or truncated .gz"});
  }
}

TEST_CASE("what stands behind the end of a .gz, and one that unpacks to more than it says", "[data][idx]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "images", compressed = directory / "images.gz";
  const auto read = [&] { return data::read_idx(path, 3); };
  write_gz(compressed, idx_file({2, 3, 4}, Bytes(24, 7)));
  const Bytes whole = read_file(compressed);
  SECTION("another .gz, which goes on") {
    write_gz(compressed, idx_file({2, 3, 4}, Bytes(20, 7)));
    Bytes both = read_file(compressed);
    write_gz(directory / "rest.gz", Bytes(4, 8));
    const Bytes rest = read_file(directory / "rest.gz");
    both.insert(both.end(), rest.begin(), rest.end());
    write_file(compressed, both);
    Bytes expected(20, 7);
    expected.resize(24, 8);
    CHECK(read().to_vector<std::uint8_t>() == expected);
  }
  SECTION("rubbish") {
    Bytes longer = whole;
    longer.push_back('x');
    write_file(compressed, longer);
    check_error(read, {"images.gz", "damaged .gz", "goes on behind its end"});
  }
  SECTION("64 MiB of zeros for 24 bytes") {
    Bytes zeros(std::size_t{64} << 20);
    write_gz(compressed, idx_file({2, 3, 4}, zeros));
    const std::size_t before = peak_resident_memory();
    check_error(read, {"images.gz", "more data than the 24 bytes"});
    CHECK(peak_resident_memory() - before < (std::size_t{32} << 20));
  }
  SECTION("data behind those of a plain file") {
    write_file(path, idx_file({2, 3, 4}, Bytes(25)));
    check_error(read, {"images", "more data than the 24 bytes"});
  }
}

TEST_CASE("a FIFO in place of a data file or directory is refused at once", "[data][readers]") {
  const TemporaryDirectory directory;
  const auto fifo = [](const fs::path& path) { REQUIRE(mkfifo(path.c_str(), 0600) == 0); };
  SECTION("CIFAR") {
    write_cifar10(directory.path());
    fs::remove(directory / "test_batch.bin");
    fifo(directory / "test_batch.bin");
    check_error([&] { data::cifar10(directory.path(), quiet()); }, {"test_batch.bin", "is a FIFO"});
  }
  SECTION("IDX") {
    fifo(directory / "images.gz");
    check_error([&] { data::read_idx(directory / "images", 3); }, {"images.gz", "is a FIFO"});
  }
  SECTION("an image") {
    fifo(directory / "a.png");
    check_error([&] { data::decode_image(directory / "a.png"); }, {"a.png", "is a FIFO"});
  }
  SECTION("a directory") {
    fifo(directory / "data");
    check_error([&] { data::open("folder:" + (directory / "data").string(), quiet()); },
                {"data", "is a FIFO", "expected a directory"});
  }
}

TEST_CASE("the real Fashion-MNIST", "[data][idx]") {
  const fs::path directory = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(directory)) {
    WARN("skipped: " << directory << " is not there (Debian package dataset-fashion-mnist)");
    return;
  }
  const data::Dataset set = data::fashion_mnist(directory, quiet());
  CHECK(set.train.size() == 60000);
  CHECK(set.test.size() == 10000);
  // The published statistics, 0.2860 and 0.3530, to their last digit.
  CHECK(std::abs(set.mean().at(0) - 0.2860f) < 5e-5f);
  CHECK(std::abs(set.std().at(0) - 0.3530f) < 5e-5f);
}
