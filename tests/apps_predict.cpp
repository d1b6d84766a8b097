// lamina eval, predict and info: what scripts rely on.
#include <png.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "program.h"

namespace lamina::tests {
namespace {

nlohmann::json json_of(const Arguments& arguments) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return nlohmann::json::parse(outcome.out);  // and nothing else is on standard output
}

std::string write_png(const fs::path& path, int size, int shade) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = static_cast<png_uint_32>(size);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size * size * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<std::uint8_t>(i * 7 + static_cast<std::size_t>(shade));
  REQUIRE(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr) != 0);
  return path.string();
}

}  // namespace

TEST_CASE("eval gives the accuracy that the run recorded") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(run(tiny_training(out)).status == 0);
  const std::string epochs = epochs_of(out);
  const std::string last = epochs.substr(epochs.rfind('\n', epochs.size() - 2) + 1);
  const double accuracy = std::stod(last.substr(last.rfind(',') + 1));

  const auto json = json_of({"eval", out.string(), "--limit", "64", "--json"});
  CHECK(json["accuracy"] == accuracy);
  CHECK(json["images"] == 64);
  CHECK(json["model"] == "resnet8");
  // Files of the run are weight files too, and the batch changes nothing.
  const std::string checkpoint = (out / "checkpoint-12.safetensors").string();
  const auto again =
      json_of({"eval", checkpoint, "--data", "synthetic:8x8x3x4", "--limit", "64", "--batch", "7", "--json"});
  CHECK(again["accuracy"] == accuracy);
  // Matrix products of other sizes add up in another order: a few roundings of f32.
  CHECK(std::abs(again["loss"].get<double>() - json["loss"].get<double>()) < 1e-6);

  CHECK(run({"eval", checkpoint}).status == 2);
  const Outcome classes = run({"eval", checkpoint, "--data", "synthetic:8x8x3x5"});
  CHECK(classes.status == 1);
  CHECK(classes.err.find("5 classes") != std::string::npos);
  const Outcome channels = run({"eval", checkpoint, "--data", "synthetic:8x8x1x4"});
  CHECK(channels.status == 1);
  CHECK(channels.err.find("channels") != std::string::npos);
}

TEST_CASE("eval tells how each class does") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(run(tiny_training(out)).status == 0);
  const auto json = json_of({"eval", out.string(), "--limit", "64", "--json"});
  const auto recorded = nlohmann::json::parse(read_file(out / "evaluation.json"));
  for (const char* key : {"accuracy", "confusion", "correct", "images", "per_class", "top5"})
    CHECK(json[key] == recorded[key]);
  CHECK(json["top5"] == 1);  // of four classes
  REQUIRE(json["confusion"].size() == 4);
  std::int64_t right = 0, all = 0;
  for (std::size_t c = 0; c < 4; ++c) {
    std::int64_t of_class = 0;
    for (const auto& count : json["confusion"][c]) of_class += count.get<std::int64_t>();
    const auto& line = json["per_class"][c];
    CHECK(line["class"] == "pattern" + std::to_string(c));
    CHECK(line["samples"] == of_class);
    const auto own = json["confusion"][c][c].get<std::int64_t>();
    CHECK(line["accuracy"] == static_cast<double>(own) / static_cast<double>(of_class));
    right += own;
    all += of_class;
  }
  CHECK(all == 64);
  CHECK(json["correct"] == right);

  const Outcome text = run({"eval", out.string(), "--limit", "64"});
  CHECK(text.out.find(", top-5 100.00 %, loss ") != std::string::npos);
  CHECK(text.out.find("class     images  accuracy %  most often taken for\n") != std::string::npos);
  CHECK(text.out.find("\npattern3  ") != std::string::npos);
  // Of many classes there is no table.
  ResNet net = resnet8({.classes = 21, .seed = 5});
  save_weights(folder / "many.safetensors", net,
               {.model = "resnet8", .stem = "cifar", .shortcut = "A", .classes = {}, .mean = {}, .std = {}});
  const Outcome many =
      run({"eval", (folder / "many.safetensors").string(), "--data", "synthetic:8x8x3x21", "--limit", "50"});
  CHECK(many.status == 0);
  CHECK(many.out.find("top-5") != std::string::npos);
  CHECK(many.out.find("most often") == std::string::npos);
}

TEST_CASE("predict prints the JSON that scripts expect") {
  const TemporaryFolder folder;
  ResNet net = resnet8({.classes = 3, .seed = 5});
  const std::string weights = (folder / "weights.safetensors").string();
  save_weights(weights, net,
               {.model = "resnet8",
                .stem = "cifar",
                .shortcut = "A",
                .classes = {"cat", "dog", "eel"},
                .mean = {0.5f, 0.5f, 0.5f},
                .std = {0.25f, 0.25f, 0.25f}});
  const std::string a = write_png(folder / "a.png", 16, 0), b = write_png(folder / "b.png", 20, 99);
  const auto json = json_of({"predict", weights, a, b, "--json"});

  CHECK(json["classes"] == nlohmann::json{"cat", "dog", "eel"});
  CHECK(json["mean"] == nlohmann::json{0.5, 0.5, 0.5});
  CHECK(json["std"] == nlohmann::json{0.25, 0.25, 0.25});
  REQUIRE(json["predictions"].size() == 2);
  for (const auto& prediction : json["predictions"]) {
    const auto logits = prediction["logits"].get<std::vector<float>>();
    const auto probabilities = prediction["probabilities"].get<std::vector<float>>();
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    CHECK(prediction["label"] == json["classes"][static_cast<std::size_t>(best)]);
    float sum = 0;
    for (const float p : probabilities) sum += p;
    CHECK(std::abs(sum - 1) < 1e-6f);  // three roundings of f32
  }
  CHECK(json["predictions"][0]["file"] == a);

  // A file of another format with the same pixels.
  std::string ppm = "P6\n16 16\n255\n";
  for (std::size_t i = 0; i < 16 * 16 * 3; ++i) ppm += static_cast<char>(i * 7);
  std::ofstream(folder / "a.ppm", std::ios::binary) << ppm;
  const auto same = json_of({"predict", weights, (folder / "a.ppm").string(), "--json"});
  CHECK(same["predictions"][0]["logits"] == json["predictions"][0]["logits"]);

  // The image in a batch of the library's own making gives the same logits.
  const auto alone = json_of({"predict", weights, b, "--json"});
  CHECK(alone["predictions"][0]["logits"] == json["predictions"][1]["logits"]);
  const auto resized = json_of({"predict", weights, b, "--size", "16", "--json"});
  CHECK(resized["predictions"][0]["logits"] != alone["predictions"][0]["logits"]);

  const Outcome text = run({"predict", weights, a, "--top", "2"});
  CHECK(text.status == 0);
  CHECK(std::count(text.out.begin(), text.out.end(), '\n') == 4);
}

TEST_CASE("predict says what it lacks") {
  const TemporaryFolder folder;
  ResNet net = resnet8({.classes = 3, .seed = 5});
  const std::string weights = (folder / "foreign.safetensors").string();
  save_weights(weights, net);
  const std::string image = write_png(folder / "a.png", 16, 0);
  CHECK(json_of({"predict", weights, image, "--json"})["classes"] == nlohmann::json{"0", "1", "2"});
  CHECK(json_of({"predict", weights, image, "--mean", "0.5,0.5,0.5", "--json"})["mean"] ==
        nlohmann::json{0.5, 0.5, 0.5});

  const Outcome other = run({"predict", weights, image, "--model", "resnet14"});
  CHECK(other.status == 1);
  CHECK(other.err.find("resnet8") != std::string::npos);
  std::ofstream(folder / "text.png") << "hello";
  const Outcome no_image = run({"predict", weights, (folder / "text.png").string()});
  CHECK(no_image.status == 1);
  CHECK(no_image.err.find("text.png") != std::string::npos);
  const Outcome short_mean = run({"predict", weights, image, "--mean", "0.5"});
  CHECK(short_mean.status == 1);
  CHECK(short_mean.err.find("--mean") != std::string::npos);
}

TEST_CASE("predict and eval read what other programs leave, and say what they made of it") {
  const TemporaryFolder folder;
  const std::string image = write_png(folder / "x.png", 16, 1);
  TensorFile file = to_tensor_file(resnet8({.classes = 2, .seed = 1}).state(), {});
  for (auto& [name, tensor] : file.tensors) name.insert(0, "module.");
  file.metadata = {{"model", "my net"}, {"classes", "2"}};
  const std::string weights = (folder / "w.safetensors").string();
  write_tensors(weights, file);
  const Outcome outcome = run({"predict", weights, image, "--json"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(nlohmann::json::parse(outcome.out)["classes"] == nlohmann::json{"0", "1"});
  for (const char* note : {"w.safetensors: all names begin with module.: taken off",
                           "\"classes\" in the metadata is \"2\"", "\"model\" in the metadata is \"my net\""})
    CHECK(outcome.err.find(note) != std::string::npos);

  file.tensors.front().second.fill(std::nan(""));
  write_tensors(weights, file);
  for (const Arguments& command :
       {Arguments{"predict", weights, image}, Arguments{"eval", weights, "--data", "synthetic:16x16x3x2"}}) {
    const Outcome refused = run(command);
    CHECK(refused.status == 1);
    CHECK(refused.err.find("conv1.weight holds values that are not finite") != std::string::npos);
  }
}

TEST_CASE("info describes the program") {
  const auto json = json_of({"info", "--json"});
  for (const char* key :
       {"version", "build", "cpu", "threads", "cuda", "libraries", "models", "optimizers", "data"}) {
    INFO(key);
    CHECK(json.contains(key));
  }
  const Outcome text = run({"info"});
  CHECK(text.status == 0);
  CHECK(text.out.find(json["version"].get<std::string>()) != std::string::npos);
  const auto presets = json_of({"info", "--presets", "--json"})["presets"];
  CHECK(presets.size() >= 8);
  CHECK(run({"info", "--presets"}).out.find("tvlars:paper") != std::string::npos);
  CHECK(run({"--version"}).out.find(json["version"].get<std::string>()) != std::string::npos);
  for (const char* command : {"train", "eval", "predict", "info"})
    CHECK(run({command, "--help"}).status == 0);
}

TEST_CASE("a backbone without a last layer starts a training, and is no classifier") {
  const TemporaryFolder folder;
  const std::string file = (folder / "backbone.safetensors").string();
  save_weights(file, resnet8({.head = false}));
  const Outcome outcome =
      run({"eval", file, "--data", "synthetic:8x8x3x4", "--mean", "0.5,0.5,0.5", "--std", "1,1,1"});
  CHECK(outcome.status == 1);
  for (const char* part : {"no last layer", "--init-weights"}) {
    INFO(part << " is not in: " << outcome.err);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  const Outcome started = run(tiny_training(folder / "run", 1) + Arguments{"--init-weights", file});
  INFO(started.err);
  CHECK(started.status == 0);
  CHECK(started.out.find("not in the file, so initialised: fc.weight, fc.bias\n") != std::string::npos);
  CHECK(started.out.find("note:") == std::string::npos);  // the file does not say what it was normalised with
}

}  // namespace lamina::tests
