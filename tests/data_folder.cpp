// Image folders: layouts, what is said about broken ones, and the cache of decoded images.
#include <fmt/format.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "core/backend.h"
#include "core/files/safetensors.h"
#include "core/memory/allocator.h"
#include "data/sets/folder.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

// Two classes, three training and two test images of 4×4 pixels; red tells them apart.
void write_folder(const fs::path& directory) {
  write_file(directory / "train/cat/b.png", plain_png(4, 4, 2, 50, 60));
  write_file(directory / "train/cat/a.png", plain_png(4, 4, 1, 50, 60));
  write_file(directory / "train/dog/deep/er/c.png", plain_png(4, 4, 3, 50, 60));
  write_file(directory / "test/dog/x.png", plain_png(4, 4, 5, 50, 60));
  write_file(directory / "test/cat/y.png", plain_png(4, 4, 4, 50, 60));
}

// The red value and the label of every image.
std::vector<std::pair<int, int>> summary(const data::Split& split) {
  std::vector<std::pair<int, int>> list;
  for (std::int64_t i = 0; i < split.size(); ++i) {
    const data::Sample sample = split.get(i);
    list.emplace_back(sample.image.data<std::uint8_t>()[0], sample.label);
  }
  return list;
}

using Summary = std::vector<std::pair<int, int>>;

struct CacheFixture {
  TemporaryDirectory directory;
  Environment cache{"XDG_CACHE_HOME", directory / "cache"};
  std::vector<std::string> notes;
  fs::path images = directory / "images";

  CacheFixture() { write_folder(images); }
  data::Dataset open(int image_size = 0) {
    data::OpenOptions options = quiet(&notes);
    options.cache = true;
    options.image_size = image_size;
    notes.clear();
    return data::folder(images, options);
  }
  std::string all_notes() const { return fmt::format("{}", fmt::join(notes, "\n")); }
  bool decoded() const { return noted("decoding 5 images"); }
  bool noted(const std::string& text) const {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const std::string& note) { return note.find(text) != std::string::npos; });
  }
  fs::path file() const {
    INFO(all_notes());
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(directory / "cache/lamina/decoded"))
      files.push_back(entry.path());
    REQUIRE(files.size() == 1);
    return files.front();
  }
};

}  // namespace

TEST_CASE("image folders: sorted classes, sorted files, any depth", "[data][folder]") {
  const TemporaryDirectory directory;
  write_folder(directory.path());
  write_file(directory / "train/cat/.hidden", "not an image");
  write_file(directory / "train/cat/notes.txt", "not an image");
  write_file(directory / "train/.git/config", "not a class");
  const data::Dataset set = data::folder(directory.path(), quiet());
  CHECK(set.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(summary(set.train) == Summary{{1, 0}, {2, 0}, {3, 1}});
  CHECK(summary(set.test) == Summary{{4, 0}, {5, 1}});
  CHECK(set.train.images.shape() == Shape{3, 4, 4, 3});
}

TEST_CASE("image folders: val/ serves where test/ has no labels", "[data][folder]") {
  const TemporaryDirectory directory;
  write_folder(directory.path());
  fs::rename(directory / "test", directory / "val");
  write_file(directory / "test/images/test_0.JPEG", plain_png(4, 4, 9, 9, 9));
  CHECK(summary(data::folder(directory.path(), quiet()).test) == Summary{{4, 0}, {5, 1}});
}

TEST_CASE("Tiny ImageNet's own layout", "[data][folder]") {
  const TemporaryDirectory directory;
  write_file(directory / "train/n02/images/n02_0.JPEG", plain_png(4, 4, 1, 0, 0));
  write_file(directory / "train/n02/n02_boxes.txt", "n02_0.JPEG\t0\t0\t3\t3\n");
  write_file(directory / "train/n01/images/n01_0.JPEG", plain_png(4, 4, 2, 0, 0));
  write_file(directory / "val/images/val_0.JPEG", plain_png(4, 4, 3, 0, 0));
  write_file(directory / "val/images/val_1.JPEG", plain_png(4, 4, 4, 0, 0));
  write_file(directory / "val/val_annotations.txt",
             "val_0.JPEG\tn02\t0\t0\t3\t3\nval_1.JPEG\tn01\t0\t0\t3\t3\n");
  write_file(directory / "words.txt", "n00\tnothing\nn01\tgoldfish, Carassius auratus\n");
  const auto open = [&] { return data::tiny_imagenet(directory.path(), quiet()); };
  SECTION("whole") {
    const data::Dataset set = open();
    CHECK(set.classes == std::vector<std::string>{"goldfish, Carassius auratus", "n02"});
    CHECK(summary(set.train) == Summary{{2, 0}, {1, 1}});
    CHECK(summary(set.test) == Summary{{3, 1}, {4, 0}});
    CHECK(set.identity.name == "tiny-imagenet");
    CHECK(set.identity.classes == set.classes);
  }
  SECTION("val images sorted into class folders") {
    fs::create_directories(directory / "val/n01");
    fs::rename(directory / "val/images/val_1.JPEG", directory / "val/n01/val_1.JPEG");
    fs::remove_all(directory / "val/images");
    fs::remove(directory / "val/val_annotations.txt");
    CHECK(summary(open().test) == Summary{{4, 0}});
  }
  SECTION("annotations and images that do not match") {
    fs::remove(directory / "val/images/val_1.JPEG");
    check_error(open, {"val_annotations.txt", "val_1.JPEG", "does not exist"});
    write_file(directory / "val/val_annotations.txt", "val_0.JPEG\tn99\t0\n");
    check_error(open, {"val_annotations.txt", "'n99'", "no train folder"});
    write_file(directory / "val/val_annotations.txt", "val_0.JPEG\n");
    check_error(open, {"val_annotations.txt", "'val_0.JPEG' is not"});
    write_file(directory / "val/val_annotations.txt", "val_0.JPEG\tn01\n");
    write_file(directory / "val/images/val_7.JPEG", plain_png(4, 4, 3, 0, 0));
    check_error(open, {"val_annotations.txt", "no line for", "val_7.JPEG"});
  }
}

TEST_CASE("broken image folders are named", "[data][folder]") {
  const TemporaryDirectory directory;
  write_folder(directory.path());
  const auto open = [&] { data::folder(directory.path(), quiet()); };
  SECTION("no train folder") {
    fs::remove_all(directory / "train");
    check_error(open, {directory.path().string(), "no folder 'train'"});
  }
  SECTION("no classes") {
    fs::remove_all(directory / "train");
    write_file(directory / "train/a.png", plain_png(4, 4, 0, 0, 0));
    check_error(open, {"train", "no class folders"});
  }
  SECTION("empty class folder") {
    fs::create_directory(directory / "train/eel");
    check_error(open, {"train/eel", "no images"});
  }
  SECTION("no test folder") {
    fs::remove_all(directory / "test");
    check_error(open, {"neither test/ nor val/"});
  }
  SECTION("a test class that training does not know") {
    write_file(directory / "test/eel/a.png", plain_png(4, 4, 0, 0, 0));
    check_error(open, {"test/eel", "no class of that name"});
  }
  SECTION("a file that is no image") {
    write_file(directory / "train/cat/c.jpg", "hello");
    check_error(open, {"train/cat/c.jpg", "neither a JPEG nor a PNG"});
  }
  SECTION("a truncated image") {
    fs::resize_file(directory / "test/dog/x.png", 50);
    check_error(open, {"test/dog/x.png", "truncated PNG"});
  }
  SECTION("images of two sizes") {
    write_file(directory / "train/cat/c.png", plain_png(6, 5, 0, 0, 0));
    check_error(open, {"train/cat/a.png", "4×4", "train/cat/c.png", "6×5", "image_size"});
    data::OpenOptions options = quiet();
    options.image_size = 3;
    CHECK(data::folder(directory.path(), options).train.images.shape() == Shape{4, 3, 3, 3});
  }
}

TEST_CASE("decoded folders are kept, and decoded again when a file changes", "[data][folder]") {
  CacheFixture fixture;
  const data::Dataset first = fixture.open();
  CHECK(fixture.decoded());
  const data::Dataset second = fixture.open();
  CHECK(fixture.all_notes().empty());
  CHECK(summary(second.train) == summary(first.train));
  CHECK(summary(second.test) == summary(first.test));
  CHECK(second.mean() == first.mean());

  SECTION("other pixels") {
    write_file(fixture.images / "train/cat/a.png", plain_png(4, 4, 77, 50, 60));
    fs::last_write_time(fixture.images / "train/cat/a.png",
                        fs::file_time_type::clock::now() + std::chrono::hours(1));
    CHECK(summary(fixture.open().train).front() == std::pair{77, 0});
    CHECK(fixture.decoded());
  }
  SECTION("another name") {
    fs::rename(fixture.images / "train/cat/a.png", fixture.images / "train/dog/a.png");
    CHECK(summary(fixture.open().train) == Summary{{2, 0}, {1, 1}, {3, 1}});
  }
  SECTION("another size") {
    CHECK(fixture.open(2).train.images.shape() == Shape{3, 2, 2, 3});
    CHECK(fixture.decoded());
  }
  fixture.file();  // there is one file, not one per change
}

TEST_CASE("decoded images are pages of the cache, which writing to them does not change", "[data][folder]") {
  CacheFixture fixture;
  const std::size_t live = backend_for(Device::cpu()).allocator().use().live_bytes;
  const data::Dataset dataset = fixture.open();
  const std::size_t labels = dataset.train.labels.bytes() + dataset.test.labels.bytes();
  CHECK(backend_for(Device::cpu()).allocator().use().live_bytes - live <= 4 * labels + 256);
  const Bytes kept = read_file(fixture.file());
  Tensor images = dataset.train.images;
  images.fill(7);
  CHECK(dataset.train.get(0).image.data<std::uint8_t>()[0] == 7);
  CHECK(read_file(fixture.file()) == kept);
  CHECK(summary(fixture.open().train).front().first == 1);
}

TEST_CASE("of programs that open a folder together one decodes it", "[data][folder]") {
  CacheFixture fixture;
  std::mutex mutex;
  std::vector<std::string> notes;
  data::OpenOptions options;
  options.notify = [&](const std::string& note) {
    if (note.starts_with("decoding")) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::lock_guard lock(mutex);
    notes.push_back(note);
  };
  std::vector<Summary> opened(3);
  std::vector<std::thread> programs;
  for (Summary& of : opened)
    programs.emplace_back([&] { of = summary(data::folder(fixture.images, options).train); });
  for (std::thread& program : programs) program.join();
  const auto starting = [&](const std::string& text) {
    return std::count_if(notes.begin(), notes.end(),
                         [&](const std::string& note) { return note.starts_with(text); });
  };
  CHECK(starting("decoding") == 1);
  CHECK(starting("waiting for another program") == 2);
  CHECK(opened[1] == opened[0]);
  CHECK(opened[2] == opened[0]);
}

TEST_CASE("a broken cache is rebuilt", "[data][folder]") {
  CacheFixture fixture;
  const Summary expected = summary(fixture.open().train);
  const fs::path file = fixture.file();
  Bytes bytes = read_file(file);
  SECTION("truncated") { fs::resize_file(file, bytes.size() / 2); }
  SECTION("not safetensors") { write_file(file, "nonsense"); }
  SECTION("one bit") {
    bytes.back() ^= 1;
    write_file(file, bytes);
  }
  SECTION("no checksums") {
    TensorFile tensors = read_tensors(file);
    tensors.metadata.erase("train.checksum");
    write_tensors(file, tensors);
  }
  CHECK(summary(fixture.open().train) == expected);
  CHECK(fixture.noted("damaged and will be rebuilt"));
  CHECK(fixture.noted(file.string()));
  CHECK(fixture.decoded());
  fixture.open();
  CHECK(fixture.all_notes().empty());
}

TEST_CASE("an unwritable cache directory is noted, and harmless", "[data][folder]") {
  CacheFixture fixture;
  write_file(fixture.directory / "cache", "a file where the directory should be");
  CHECK(fixture.open().train.size() == 3);
  CHECK(fixture.noted("warning: decoded images are not kept"));
}
