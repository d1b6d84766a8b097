// Folders of images as the program's user sees them: what was left out is said, damage is skipped if asked
// for.
#include <sys/stat.h>

#include "catch.h"
#include "program.h"
#include "temporary_directory.h"

namespace lamina::tests {
namespace {

// Two classes with four training and two test images each.
void write_images(const fs::path& directory) {
  for (const char* split : {"train", "test"})
    for (const std::string name : {"cat", "dog"}) {
      fs::create_directories(directory / split / name);
      for (int i = 0; i < (split == std::string("train") ? 4 : 2); ++i)
        put(directory / split / name / (std::to_string(i) + ".ppm"),
            "P6 8 8 255\n" + std::string(192, static_cast<char>(name == "cat" ? 10 + i : 200 + i)));
    }
}

bool has(const std::string& text, const std::string& part) {
  INFO("missing: " << part << "\nin: " << text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("a run on a folder says what was left out, and skips damage where asked to") {
  const TemporaryFolder folder;
  const std::string images = (folder / "images").string(), out = (folder / "run").string();
  write_images(images);
  put(folder / "images/train/cat/Thumbs.db", "x");
  put(folder / "images/test/dog/labels.csv", "x");
  put(folder / "images/train/dog/bad.png", "x");
  ::setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
  const Arguments train{"train",   "--data", "folder:" + images, "--model", "resnet8",   "--epochs", "1",
                        "--batch", "4",      "--threads",        "1",       "--workers", "1",        "--out",
                        out};
  Outcome outcome = run(train);
  CHECK(outcome.status == 1);
  has(outcome.err, "train/dog/bad.png: neither a JPEG");
  CHECK_FALSE(fs::exists(out));

  outcome = run(train + Arguments{"--skip-damaged"});
  CHECK(outcome.status == 0);
  has(outcome.out, "8 training and 4 test images");
  has(outcome.out, "2 files of other kinds left out: 1 .csv, 1 .db; 1 damaged image left out");
  has(outcome.err, "train/dog/bad.png: neither a JPEG");
  outcome = run({"eval", out});  // knows how the run read its data
  CHECK(outcome.status == 0);
  has(outcome.out, "on 4 test images");

  fs::remove_all(folder / "cache");  // what is decoded already takes no more memory
  outcome = run(train + Arguments{"--max-pixels", "63", "--skip-damaged", "--out", out + "-small"});
  CHECK(outcome.status == 1);
  has(outcome.err, "8×8 pixels; images of more than 63 are refused");
  has(outcome.err, "--max-pixels");
  ::unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("whether damaged images were skipped is part of what a run is") {
  const TemporaryFolder folder;
  const std::string images = (folder / "images").string(), out = (folder / "run").string();
  write_images(images);
  ::setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
  CHECK(run({"train", "--data", "folder:" + images, "--model", "resnet8", "--epochs", "1", "--batch", "4",
             "--threads", "1", "--out", out})
            .status == 0);
  const Outcome resumed = run({"train", "--resume", "--out", out, "--skip-damaged"});
  CHECK(resumed.status == 2);
  has(resumed.err, "--skip-damaged");
  CHECK(run({"train", "--resume", "--out", out, "--max-pixels", "64"}).status == 0);
  ::unsetenv("XDG_CACHE_HOME");
}

TEST_CASE("a FIFO in place of an image or of data ends the program at once") {
  const TemporaryFolder folder;
  const std::string fifo = (folder / "p.png").string(), out = (folder / "run").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(run(tiny_training(out)).status == 0);
  for (const Arguments& arguments :
       {Arguments{"predict", out, fifo}, Arguments{"eval", out, "--data", "cifar10:" + fifo}}) {
    const Outcome outcome = run(arguments);
    CHECK(outcome.status == 1);
    has(outcome.err, "is a FIFO");
  }
}

}  // namespace lamina::tests
