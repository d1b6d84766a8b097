// A run knows its data by what they are, and a weight file what its images were like.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/initial_weights.h"
#include "train/load_model.h"
#include "train/match_classes.h"
#include "train/run_config.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Names = std::vector<std::string>;

// The images of other tests, of which one pixel may be another.
data::Split copy_of(const data::Split& split, std::int64_t changed_pixel = -1) {
  data::Split copy = split;
  copy.images = split.images.clone();
  copy.labels = split.labels.clone();
  if (changed_pixel >= 0) copy.images.data<std::uint8_t>()[changed_pixel] ^= 1;
  return copy;
}

// Trains in `directory`, or says why not.
std::string refusal(const fs::path& directory, const data::Split& train, const data::Split& test) {
  return message_of([&] {
    TinyParts parts;
    const data::Loader loader(train, parts.loader.options());
    Trainer(parts.objective, *parts.optimizer, loader, {.epochs = 1, .directory = directory})
        .test(test)
        .run();
  });
}

train::LoadedModel made_model(const Names& classes, bool named = true) {
  return {.file = "weights",
          .net = ResNet("resnet8", {.classes = static_cast<int>(classes.size())}),
          .info = {.model = "resnet8", .stem = "", .shortcut = "", .classes = classes, .mean = {}, .std = {}},
          .channels = 3,
          .names_classes = named};
}

data::Dataset made_data(const Names& classes) {
  data::Dataset data = data::synthetic(
      {.classes = static_cast<int>(classes.size()), .height = 4, .width = 4, .train = 8, .test = 7});
  data.classes = classes;
  data.name = "made";
  return data;
}

}  // namespace

TEST_CASE("a program's run is refused other pixels or labels, and goes on with the same ones elsewhere") {
  const Directory directory;
  const fs::path run = directory.file("run");
  const data::Split &train = tiny_images().train, &test = tiny_images().test;
  REQUIRE(refusal(run, train, test) == "(no error)");
  const auto before = results_in(run);
  const auto refused = [&](const data::Split& other_train, const data::Split& other_test, const char* which) {
    return unexplained(
        [&] {
          const std::string message = refusal(run, other_train, other_test);
          if (message != "(no error)") fail("{}", message);
        },
        {run.c_str(), "other data", which, "as many, but other pixels or labels"});
  };
  CHECK(refused(copy_of(train, 5), test, "training images") == "nothing");
  CHECK(refused(train, copy_of(test, 5), "test images") == "nothing");
  data::Split relabelled = copy_of(train);
  relabelled.labels.data<std::int32_t>()[3] ^= 1;
  CHECK(refused(relabelled, test, "training images") == "nothing");
  CHECK(results_in(run) == before);
  CHECK(refusal(run, copy_of(train), copy_of(test)) == "(no error)");
  CHECK(refusal(run, train, {}) == "(no error)");  // not tested: nothing to compare

  Json config = Json::parse(contents_of(run / "config.json"));
  config["resolved"].erase("data");  // as an earlier version wrote it
  put(run / "config.json", config.dump());
  fs::remove_all(run / "checkpoint-3.safetensors");
  CHECK(refusal(run, copy_of(train, 5), test) == "(no error)");
}

TEST_CASE("a program's run is refused other images to validate on") {
  const Directory directory;
  const auto validated_on = [&](const data::Split& valid) {
    return message_of([&] {
      TinyParts parts;
      Trainer(parts.objective, *parts.optimizer, parts.loader,
              {.epochs = 1, .directory = directory.file("run")})
          .validate(valid)
          .run();
    });
  };
  const data::Split& valid = tiny_images().test;
  REQUIRE(validated_on(valid) == "(no error)");
  CHECK(validated_on(copy_of(valid)) == "(no error)");
  CHECK(validated_on(copy_of(valid, 5)).find("validation images: as many, but other pixels or labels") !=
        std::string::npos);
}

TEST_CASE("what runs of earlier versions say of their data is taken for what it is") {
  Json config{{"options", {{"data", "folder:/old"}, {"limit_train", 0}, {"limit_test", 0}}},
              {"resolved",
               {{"classes", {"cat", "dog"}},
                {"mean", {0.5}},
                {"std", {0.25}},
                {"train_images", 20},
                {"valid_images", 4},
                {"test_images", 10}}}};
  const data::DataIdentity old = train::data_of_run(config, "config.json");
  CHECK(old.classes == Names{"cat", "dog"});
  CHECK(old.mean == std::vector<float>{0.5f});
  CHECK((old.train.images == 24 && old.test.images == 10));
  CHECK((old.train.digest.empty() && old.height == 0));
  config["options"]["limit_train"] = 20;  // of how many is not known
  CHECK(train::data_of_run(config, "config.json").train.images == 0);
  CHECK(train::data_of_run(Json::object(), "config.json").classes.empty());
  config["resolved"]["test_images"] = 1e30;
  CHECK(unexplained([&] { train::data_of_run(config, "old.json"); }, {"old.json", "damaged"}) == "nothing");
  config["resolved"]["test_images"] = 10;
  config["resolved"]["classes"] = 3;
  CHECK(unexplained([&] { train::data_of_run(config, "old.json"); }, {"old.json", "damaged"}) == "nothing");
}

TEST_CASE("a weight file says what its images were like") {
  const Directory directory;
  WeightInfo info{.model = "resnet8",
                  .stem = "cifar",
                  .shortcut = "A",
                  .classes = {"cat", "dog"},
                  .mean = {0.5f},
                  .std = {0.25f},
                  .image_pixels = {32, 48},
                  .image_size = 0,
                  .data = "{}"};
  const WeightInfo read = info_from_metadata(metadata_from_info(info));
  CHECK(read.image_pixels == std::vector<int>{32, 48});
  CHECK(read.image_size == 0);
  CHECK(read.data == "{}");
  CHECK(train::training_size(read) == 0);
  info.image_pixels = {32, 32};
  CHECK(train::training_size(info) == 32);
  auto foreign = metadata_from_info(info);
  foreign["image_size"] = "large";
  CHECK(!info_from_metadata(foreign).image_size);
  CHECK(!info_from_metadata({}).image_size);

  TinyParts parts;
  const fs::path run = directory.file("run");
  Trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 1, .directory = run}).run();
  CHECK(read_weight_info(run / "weights.safetensors").image_pixels == std::vector<int>{8, 8});
  CHECK(!read_weight_info(run / "weights.safetensors").image_size);  // not known to a trainer
}

TEST_CASE("classes are matched by their names") {
  const auto model = made_model({"cat", "dog", "eel"});
  const auto match = [&](const Names& classes, bool by_position = false) {
    return match_classes(model, made_data(classes), by_position);
  };
  CHECK(match({"cat", "dog", "eel"}).note.empty());
  const train::ClassMatch other_order = match({"eel", "cat", "dog"});
  CHECK(other_order.outputs == std::vector<std::int32_t>{2, 0, 1});
  CHECK(other_order.names == Names{"cat", "dog", "eel"});
  CHECK(other_order.note.find("in another order") != std::string::npos);
  const train::ClassMatch some = match({"dog", "eel"});
  CHECK(some.outputs == std::vector<std::int32_t>{1, 2});
  CHECK(some.note.find("2 of the 3 classes") != std::string::npos);

  const data::Split split = with_labels_of(other_order, made_data({"eel", "cat", "dog"}).test);
  CHECK(split.labels.to_vector<std::int32_t>() == std::vector<std::int32_t>{2, 0, 1, 2, 0, 1, 2});

  CHECK(unexplained(
            [&] {
              match({"dog", "eel", "zebra"});
            },
            {"1 of the 3 classes of made", "zebra", "dog, eel, zebra", "cat, dog, eel"}) == "nothing");
  CHECK(unexplained([&] { match({"dog", "dog", "cat"}); }, {"a name stands for two"}) == "nothing");
  const train::ClassMatch forced = match({"dog", "eel", "zebra"}, true);
  CHECK(forced.outputs == std::vector<std::int32_t>{0, 1, 2});
  CHECK(forced.names == Names{"cat", "dog", "eel"});
  CHECK(forced.note.find("by their position") != std::string::npos);
  CHECK(unexplained([&] { match({"cat", "dog"}, true); }, {"made has 2 classes", "3 apart"}) == "nothing");
}

TEST_CASE("a file that names no classes takes those of the data, if they are as many") {
  const auto model = made_model({"0", "1"}, false);
  const train::ClassMatch match = match_classes(model, made_data({"cat", "dog"}), false);
  CHECK(match.names == Names{"cat", "dog"});
  CHECK(match.note.find("does not name its classes") != std::string::npos);
  CHECK(unexplained(
            [&] {
              match_classes(model, made_data({"cat", "dog", "eel"}), false);
            },
            {"made has 3 classes", "weights tells 2 apart"}) == "nothing");
}

TEST_CASE("a last layer that is taken over with other classes is noted") {
  ResNet net("resnet8", {.classes = 2});
  const Directory directory;
  save_weights(directory.file("w"), net,
               {.model = "", .stem = "", .shortcut = "", .classes = {"cat", "dog"}, .mean = {}, .std = {}});
  const auto text = [&](const Names& classes) {
    ResNet other("resnet8", {.classes = static_cast<int>(classes.size())});
    WeightInfo images{.model = "", .stem = "", .shortcut = "", .classes = classes, .mean = {}, .std = {}};
    return describe(train::load_initial_weights(directory.file("w"), other), images, " ");
  };
  CHECK(text({"dog", "eel"}).find("note: its last layer") != std::string::npos);
  CHECK(text({"cat", "dog"}).find("note:") == std::string::npos);
  CHECK(text({"cat", "dog", "eel"}).find("note:") == std::string::npos);  // it is initialised
}

}  // namespace lamina::tests
