// What is in folders of images beside whole images: links, other kinds of files, damage, names of any bytes.
#include <sys/stat.h>
#include <unistd.h>

#include <numeric>

#include "core/backend.h"
#include "core/memory/allocator.h"
#include "data/sets/folder.h"
#include "data_files.h"

using namespace lamina;
using namespace lamina::tests;

namespace {

// Two classes with three training and one test image each; red counts up.
struct Folder {
  Folder() {
    std::uint8_t red = 0;
    for (const char* name : {"train/cat/a.png", "train/cat/b.png", "train/cat/c.png", "train/dog/a.png",
                             "train/dog/b.png", "train/dog/c.png", "test/cat/a.png", "test/dog/a.png"})
      write_file(path / name, plain_png(4, 4, ++red, 50, 60));
  }
  data::Dataset open() { return data::folder(path.path(), options); }
  void damage(const std::string& name) const { write_file(path / name, "no image"); }
  std::string all_notes() const { return fmt::format("{}", fmt::join(notes, "\n")); }

  TemporaryDirectory path;
  std::vector<std::string> notes;
  data::OpenOptions options = quiet(&notes);
};

std::vector<int> reds(const data::Split& split) {
  std::vector<int> list;
  for (std::int64_t i = 0; i < split.size(); ++i) list.push_back(split.get(i).image.data<std::uint8_t>()[0]);
  return list;
}

using Notes = std::vector<std::string>;

}  // namespace

TEST_CASE("links to images and folders are followed; others are errors", "[data][folder]") {
  Folder folder;
  const auto open = [&] { folder.open(); };
  SECTION("good ones") {
    fs::create_symlink("a.png", folder.path / "train/cat/d.png");
    fs::create_directory_symlink("cat", folder.path / "train/eel");
    const data::Dataset set = folder.open();
    CHECK(set.classes == std::vector<std::string>{"cat", "dog", "eel"});
    CHECK(reds(set.train) == std::vector<int>{1, 2, 3, 1, 4, 5, 6, 1, 2, 3, 1});
  }
  SECTION("an image that is not there") {
    fs::create_symlink("/not/mounted/d.png", folder.path / "train/cat/d.png");
    check_error(open, {"train/cat/d.png", "a link to /not/mounted/d.png", "does not exist"});
  }
  SECTION("a class that is not there") {
    fs::create_symlink("/not/mounted", folder.path / "train/eel");
    check_error(open, {"train/eel", "a link to /not/mounted"});
  }
  SECTION("a split that is not there") {
    fs::rename(folder.path / "test", folder.path / "val");
    fs::create_symlink("/not/mounted", folder.path / "test");
    check_error(open, {"/test", "a link to /not/mounted"});
  }
  SECTION("a circle") {
    fs::create_directory_symlink("..", folder.path / "train/cat/up");
    check_error(open, {"a link to a folder that it is in"});
  }
  SECTION("a link to itself") {
    fs::create_symlink("loop", folder.path / "train/cat/loop");
    check_error(open, {"train/cat/loop", "cannot be looked at"});
  }
  SECTION("a FIFO") {
    REQUIRE(mkfifo((folder.path / "train/cat/d.png").c_str(), 0600) == 0);
    check_error(open, {"train/cat/d.png", "is a FIFO"});
  }
  SECTION("a folder that may not be listed") {
    if (geteuid() == 0) return;  // who may list everything
    fs::create_directory(folder.path / "train/cat/closed");
    fs::permissions(folder.path / "train/cat/closed", fs::perms::none);
    check_error(open, {"train/cat/closed", "Permission denied"});
  }
}

TEST_CASE("files of other kinds are left out and counted", "[data][folder]") {
  Folder folder;
  const auto open = [&] { folder.open(); };
  SECTION("by their ending") {
    write_file(folder.path / "train/cat/Thumbs.db", "\xd0\xcf");
    write_file(folder.path / "train/dog/desktop.ini", "[x]");
    write_file(folder.path / "test/dog/labels.csv", "a,b");
    write_file(folder.path / "test/dog/more.CSV", "a,b");
    write_file(folder.path / "train/cat/png", plain_png(4, 4, 9, 9, 9));
    write_file(folder.path / "train/e.png", plain_png(4, 4, 9, 9, 9));
    const data::Dataset set = folder.open();
    CHECK(set.notes == Notes{"5 files of other kinds left out: 2 .csv, 1 .db, 1 .ini, 1 without an ending",
                             "1 image outside the class folders left out"});
    CHECK(set.train.size() == 6);
    CHECK(set.test.size() == 2);
  }
  SECTION("none") { CHECK(folder.open().notes.empty()); }
  SECTION("the ending may be another image's, or in upper case") {
    write_file(folder.path / "train/dog/d.JPEG", plain_png(4, 4, 7, 9, 9));
    write_file(folder.path / "train/dog/e.PNG", plain_png(4, 4, 8, 9, 9));
    const data::Dataset set = folder.open();
    CHECK(reds(set.train) == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(set.notes.empty());
  }
  SECTION("images of kinds that are not read are no such files") {
    write_file(folder.path / "train/dog/d.WebP", "RIFF");
    check_error(open, {"train/dog/d.WebP", ".webp images are not read", "convert"});
  }
  SECTION("a class of nothing else") {
    write_file(folder.path / "train/eel/notes.md", "x");
    check_error(open, {"train/eel", "no images", "1 .md"});
  }
}

TEST_CASE("names of classes must be text, names of files need not", "[data][folder]") {
  Folder folder;
  const Environment cache("XDG_CACHE_HOME", folder.path / "cache");
  folder.options.cache = true;
  const auto open = [&] { folder.open(); };
  SECTION("a class that is not UTF-8") {
    fs::rename(folder.path / "train/cat", folder.path / "train/caf\xe9");
    check_error(open, {"\"caf\\xe9\"", "not UTF-8", "rename"});
  }
  SECTION("a class that clears the screen") {
    fs::rename(folder.path / "train/cat", folder.path / "train/\x1b[2J");
    check_error(open, {"\"\\x1b[2J\"", "control characters", "rename"});
  }
  SECTION("a test class") {
    write_file(folder.path / "test/caf\xe9/a.png", plain_png(4, 4, 1, 2, 3));
    check_error(open, {"test/caf\\xe9", "no class of that name"});
  }
  SECTION("classes in other files") {
    write_file(folder.path / "words.txt", "cat\tc\xe9\n");
    check_error([&] { data::tiny_imagenet(folder.path.path(), folder.options); },
                {"words.txt", "\"c\\xe9\"", "not UTF-8"});
  }
  SECTION("files") {
    write_file(folder.path / "train/dog/\xff\x1b.png", plain_png(4, 4, 7, 9, 9));
    for (int time = 0; time < 2; ++time)  // decoded, and from the cache
      CHECK(reds(folder.open().train) == std::vector<int>{1, 2, 3, 4, 5, 6, 7});
    CHECK(folder.notes.size() == 1);
    folder.damage("train/dog/\xff\x1b.png");
    check_error(open, {"train/dog/\\xff\\x1b.png: neither a JPEG"});
    folder.options.skip_damaged = true;
    for (int time = 0; time < 2; ++time) CHECK(folder.open().notes == Notes{"1 damaged image left out"});
  }
}

TEST_CASE("damaged images are skipped where that is asked for", "[data][folder]") {
  Folder folder;
  const Environment cache("XDG_CACHE_HOME", folder.path / "cache");
  folder.options.cache = true;
  const auto open = [&] { folder.open(); };
  folder.damage("train/cat/a.png");
  folder.damage("train/dog/b.png");
  check_error(open, {"train/cat/a.png", "neither a JPEG"});
  folder.options.skip_damaged = true;
  SECTION("the rest is whole, also from the cache, which others do not take for whole") {
    for (const bool decoded : {true, false}) {
      folder.notes.clear();
      const data::Dataset set = folder.open();
      CHECK(reds(set.train) == std::vector<int>{2, 3, 4, 6});
      CHECK(set.train.labels.to_vector<std::int32_t>() == std::vector<std::int32_t>{0, 0, 1, 1});
      CHECK(reds(set.test) == std::vector<int>{7, 8});
      CHECK(set.notes == Notes{"2 damaged images left out"});
      const std::string notes = folder.all_notes();
      INFO(notes);
      CHECK((notes.find("decoding") != std::string::npos) == decoded);
      CHECK(notes.find("warning: 2 damaged images left out:\n") != std::string::npos);
      CHECK(notes.find("train/cat/a.png: neither a JPEG") != std::string::npos);
      CHECK(notes.find("train/dog/b.png: neither a JPEG") != std::string::npos);
    }
    folder.options.skip_damaged = false;
    check_error(open, {"train/cat/a.png", "neither a JPEG"});
  }
  SECTION("ten are listed") {
    for (int i = 0; i < 12; ++i) folder.damage(fmt::format("train/cat/n{:02}.png", i));
    CHECK(folder.open().notes == Notes{"14 damaged images left out"});
    const std::string notes = folder.all_notes();
    CHECK(notes.find("n08.png") != std::string::npos);
    CHECK(notes.find("n09.png") == std::string::npos);
    CHECK(notes.find("and 4 more") != std::string::npos);
  }
  SECTION("a class must keep an image") {
    folder.damage("test/dog/a.png");
    check_error(open, {"test/dog/a.png", "all other images of its class"});
  }
  SECTION("what cannot be read, has another size or too many pixels is not damaged") {
    write_file(folder.path / "train/dog/b.png", plain_png(5, 4, 1, 1, 1));
    check_error(open, {"train/dog/b.png", "different sizes"});
    folder.options.max_pixels = 15;
    check_error(open, {"train/cat/b.png", "more than 15"});
  }
  folder.options.skip_damaged = true;
  check_error([&] { data::open("synthetic:8x8x3x2", folder.options); }, {"synthetic", "skip_damaged"});
}

TEST_CASE("images that memory does not hold are refused before one is decoded", "[data][folder]") {
  Folder folder;
  folder.damage("train/dog/c.png");  // would be found by decoding
  Allocator& allocator = backend_for(Device::cpu()).allocator();
  const struct Limit {
    Allocator& allocator;
    ~Limit() { allocator.set_limit(std::numeric_limits<std::size_t>::max()); }
  } limit{allocator};
  allocator.set_limit(allocator.use().live_bytes + 300);  // for an image or two, each of 48 bytes
  check_error([&] { folder.open(); },
              {folder.path.path().string(), "8 images of 4×4 pixels", "memory", "at most", "image_size"});
}

TEST_CASE("Tiny ImageNet's val images in class folders, the annotations left behind", "[data][folder]") {
  const TemporaryDirectory directory;
  for (const char* name : {"train/n01/images/n01_0.JPEG", "train/n02/images/n02_0.JPEG", "val/n01/val_1.JPEG",
                           "val/n02/images/val_0.JPEG"})
    write_file(directory / name, plain_png(4, 4, 1, 0, 0));
  write_file(directory / "val/val_annotations.txt",
             "val_0.JPEG\tn02\t0\t0\t3\t3\nval_1.JPEG\tn01\t0\t0\t3\t3\n");
  const auto open = [&] { return data::tiny_imagenet(directory.path(), quiet()); };
  CHECK(open().test.labels.to_vector<std::int32_t>() == std::vector<std::int32_t>{0, 1});
  fs::create_directory(directory / "val/images");
  CHECK(open().test.size() == 2);
  SECTION("some of them not") {
    fs::rename(directory / "val/n01/val_1.JPEG", directory / "val/images/val_1.JPEG");
    fs::remove(directory / "val/n01");
    check_error(open, {"/val", "1 images in 1 class folders", "1 in images/"});
  }
  SECTION("one of them missing") {
    write_file(directory / "val/n01/val_2.JPEG", plain_png(4, 4, 1, 0, 0));
    check_error(open, {"val_annotations.txt", "no line for", "n01/val_2.JPEG"});
    fs::remove(directory / "val/n01/val_1.JPEG");
    write_file(directory / "val/val_annotations.txt", "val_0.JPEG\tn02\nval_1.JPEG\tn01\nval_2.JPEG\tn01\n");
    check_error(open, {"val_annotations.txt", "lists val_1.JPEG"});
  }
}
