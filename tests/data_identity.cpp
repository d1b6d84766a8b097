// What data are: the same wherever they lie, others as soon as a pixel, a label or a name is.
#include "core/base/list_names.h"
#include "data/identity.h"

#include <nlohmann/json.hpp>

#include "catch.h"
#include "data/sets/folder.h"
#include "data/sets/synthetic.h"
#include "data_files.h"

namespace lamina::tests {
namespace {

using data::DataIdentity;
using Names = std::vector<std::string>;

data::Dataset images(std::int64_t count = 40, const data::OpenOptions& options = {}) {
  return data::synthetic({.classes = 4, .height = 6, .width = 5, .train = count, .test = 20}, options);
}

void write_folder(const fs::path& directory, const Names& classes) {
  for (const char* split : {"train", "test"}) {
    std::uint8_t shade = 10;
    for (const std::string& name : classes) {
      for (const char* file : {"1.png", "2.png"})
        write_file(directory / split / name / file, plain_png(4, 4, shade += 7, 90, 200));
    }
  }
}

DataIdentity identity_of_folder(const fs::path& directory) {
  return data::folder(directory, quiet()).identity;
}

}  // namespace

TEST_CASE("a digest is of pixels and labels, whatever computes it") {
  data::Split split = images(3000).train;  // several chunks, the last of them smaller
  const data::SplitIdentity identity = data::identity_of(split, 1);
  CHECK(identity.images == 3000);
  CHECK(identity.digest.size() == 16);
  CHECK(data::identity_of(split, 5).digest == identity.digest);
  CHECK(data::identity_of(images(2999).train).digest != identity.digest);
  const data::Split reshaped{
      .images = split.images.view({3000, 5, 6, 3}), .labels = split.labels, .mean = {}, .std = {}};
  CHECK(data::identity_of(reshaped).digest != identity.digest);

  auto* pixels = split.images.data<std::uint8_t>();
  for (const std::int64_t pixel : {std::int64_t{0}, split.images.elements() - 1}) {
    pixels[pixel] ^= 1;
    CHECK(data::identity_of(split).digest != identity.digest);
    pixels[pixel] ^= 1;
  }
  split.labels.data<std::int32_t>()[2999] ^= 1;
  CHECK(data::identity_of(split).digest != identity.digest);
  CHECK(data::identity_of(data::Split{}).digest.empty());
}

TEST_CASE("a data set says what it is, before any limit") {
  const DataIdentity whole = images().identity;
  CHECK(whole.name == "synthetic");
  CHECK(whole.classes == Names{"pattern0", "pattern1", "pattern2", "pattern3"});
  CHECK(whole.train.images == 40);
  CHECK(whole.test.images == 20);
  CHECK((whole.height == 6 && whole.width == 5 && whole.channels == 3));
  CHECK(whole.mean == images().mean());
  const data::Dataset limited = images(40, {.limit_train = 8, .limit_test = 4});
  CHECK(limited.train.size() == 8);
  CHECK(data::data_differences(whole, limited.identity).empty());
  CHECK(limited.identity.train.digest == whole.train.digest);
}

TEST_CASE("a folder is the same data wherever it lies, and others under other class names") {
  const TemporaryDirectory directory;
  write_folder(directory / "a", {"cat", "dog", "eel"});
  const DataIdentity a = identity_of_folder(directory / "a");
  fs::rename(directory / "a", directory / "b");
  fs::rename(directory / "b" / "train" / "cat" / "2.png", directory / "b" / "train" / "cat" / "3.png");
  CHECK(data::data_differences(a, identity_of_folder(directory / "b")).empty());

  for (const char* split : {"train", "test"})
    fs::rename(directory / "b" / split / "cat", directory / "b" / split / "zebra");
  const Names renamed = data::data_differences(a, identity_of_folder(directory / "b"));
  REQUIRE(renamed.size() == 5);
  CHECK(renamed[0] == "class 0: cat there, dog here");
  CHECK(renamed[2] == "class 2: eel there, zebra here");
  CHECK(renamed[3].find("training images: as many, but other pixels or labels (digest ") == 0);
}

TEST_CASE("differences are said in words; what is not known is not compared") {
  const DataIdentity here = images().identity;
  const auto differences = [&](const auto& change) {
    DataIdentity there = here;
    change(there);
    return data::data_differences(there, here);
  };
  CHECK(differences([](DataIdentity&) {}).empty());
  CHECK(differences([](DataIdentity& d) { d = {}; }).empty());
  CHECK(differences([](DataIdentity& d) {
          d.train.digest.clear(), d.classes.clear(), d.mean.clear();
        }).empty());
  CHECK(differences([](DataIdentity& d) { d.name = "cifar10"; }) ==
        Names{"data set: cifar10 there, synthetic here"});
  CHECK(differences([](DataIdentity& d) { d.classes[1] = "cat"; }) ==
        Names{"class 1: cat there, pattern1 here"});
  CHECK(differences([](DataIdentity& d) { d.classes.pop_back(); }) ==
        Names{"classes: 3 there (pattern0, pattern1, pattern2), 4 here (pattern0, pattern1, pattern2, "
              "pattern3)"});
  CHECK(differences([](DataIdentity& d) { d.test.images = 24, d.test.digest = "0"; }) ==
        Names{"test images: 24 there, 20 here"});
  CHECK(differences([](DataIdentity& d) { d.height = 7, d.train.digest = "0"; }) ==
        Names{"images: 7x5 pixels, 3 channels there, 6x5 pixels, 3 channels here (height x width)"});
  const Names shades = differences([](DataIdentity& d) { d.train.digest.clear(), d.mean[0] += 0.25f; });
  REQUIRE(shades.size() == 1);
  CHECK(shades[0].find("mean of the training images: ") == 0);
}

TEST_CASE("an identity is kept as JSON") {
  const DataIdentity identity = images().identity;
  nlohmann::json json = to_json(identity);
  const DataIdentity read = data::identity_from_json(nlohmann::json::parse(json.dump()), "file");
  CHECK(to_json(read) == json);
  CHECK(read.mean == identity.mean);  // to the bit
  CHECK(to_json(data::identity_from_json(nlohmann::json::object(), "file")) == to_json(DataIdentity{}));
  json["classes"] = "cat";
  check_error([&] { data::identity_from_json(json, "config.json"); }, {"config.json", "damaged"});
  CHECK(list_names({"a", "b"}) == "a, b");
  CHECK(list_names(Names(9, "a")) == "a, a, a, a, a, a, a, a, …");
}

}  // namespace lamina::tests
