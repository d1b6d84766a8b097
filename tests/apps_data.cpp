// The program on folders of images that were renamed, moved or swapped, and on images of other sizes than the
// training's.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "layers/weights.h"
#include "program.h"

namespace lamina::tests {
namespace {

using Names = std::vector<std::string>;
using Json = nlohmann::json;

// One colour for each name, with a little noise.
void write_image(const fs::path& path, const std::string& name, int size, unsigned seed) {
  fs::create_directories(path.parent_path());
  const auto first = static_cast<unsigned char>(name.front());
  std::ofstream file(path, std::ios::binary);
  file << "P6 " << size << ' ' << size << " 255\n";
  for (int i = 0; i < size * size; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const unsigned noise = seed >> 28;
    for (const unsigned shade : {first * 37u % 200u, first * 91u % 200u, first * 53u % 200u})
      file.put(static_cast<char>(shade + noise));
  }
}

void write_images(const fs::path& directory, const Names& classes, int size = 8) {
  unsigned seed = 1;
  for (const char* split : {"train", "test"}) {
    for (const std::string& name : classes)
      for (const char* file : {"1.ppm", "2.ppm", "3.ppm", "4.ppm"})
        write_image(directory / split / name / file, name, size, seed++);
  }
}

Arguments training_on(const fs::path& data, const fs::path& out, int epochs = 2) {
  return {"train",
          "--data",
          "folder:" + data.string(),
          "--model",
          "resnet8",
          "--optimizer",
          "sgd",
          "--lr",
          "0.05",
          "--batch",
          "4",
          "--epochs",
          std::to_string(epochs),
          "--progress",
          "none",
          "--threads",
          "1",
          "--out",
          out.string()};
}

void train_on(const fs::path& data, const fs::path& out, const Arguments& more = {}, int epochs = 2) {
  const Outcome outcome = run(training_on(data, out, epochs) + more);
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
}

bool says(const Outcome& outcome, const std::string& text) {
  if (outcome.err.find(text) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" is not in: " << outcome.err);
  return false;
}

Json eval_json(const Arguments& arguments) {
  const Outcome outcome = run(Arguments{"eval"} + arguments + Arguments{"--json", "--threads", "1"});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  return Json::parse(outcome.out);
}

// Without what an earlier version did not know.
void make_old(const fs::path& run) {
  Json config = Json::parse(read_file(run / "config.json"));
  config["resolved"].erase("data");
  std::ofstream(run / "config.json") << config.dump();
  fs::remove(run / "evaluation.json");
  for (const fs::directory_entry& entry : fs::directory_iterator(run)) {
    if (entry.path().extension() != ".safetensors") continue;
    TensorFile file = read_tensors(entry.path());
    for (const char* key : {"image_pixels", "image_size", "data"}) file.metadata.erase(key);
    if (file.metadata.contains("config")) file.metadata["config"] = config.dump();
    write_tensors(entry.path(), file);
  }
}

}  // namespace

TEST_CASE("a run goes on with its data where they lie now, and with no other ones") {
  const TemporaryFolder folder;
  const fs::path data = folder / "data", out = folder / "run";
  write_images(data, {"cat", "dog", "eel"});
  train_on(data, out);
  const Arguments resume{"train", "--resume", "--progress", "none", "--out", out.string()};

  fs::rename(data, folder / "moved");
  const std::string moved = "folder:" + (folder / "moved").string();
  CHECK(run(resume + Arguments{"--data", moved}).status == 0);
  const std::string config = read_file(out / "config.json");
  for (const char* split : {"train", "test"})
    fs::rename(folder / "moved" / split / "cat", folder / "moved" / split / "zebra");
  const Outcome renamed = run(resume + Arguments{"--data", moved});
  CHECK(renamed.status == 1);
  CHECK(says(renamed, "class 0: cat there, dog here"));
  CHECK(says(renamed, "--data"));
  CHECK(read_file(out / "config.json") == config);
  make_old(out);
  CHECK(says(run(resume + Arguments{"--data", moved}), "class 0: cat there, dog here"));  // they knew classes
}

TEST_CASE("Tiny ImageNet is what its names say; runs of earlier versions go on with it") {
  const TemporaryFolder folder;
  const fs::path data = folder / "data";
  write_images(data, {"n01", "n02"});
  fs::rename(data / "test", data / "val");
  std::ofstream(data / "words.txt") << "n01\tgoldfish\nn02\tnewt\n";
  const Arguments tiny{"--data", "tiny-imagenet:" + data.string()};
  // Before it had its names the identity was that of a folder; before that there was none.
  const auto resumed = [&](const fs::path& out, const auto& make_earlier) {
    train_on(data, out, tiny, 1);
    Json config = Json::parse(read_file(out / "config.json"));
    CHECK(config["resolved"]["data"]["name"] == "tiny-imagenet");
    CHECK(config["resolved"]["data"]["classes"] == Json{"goldfish", "newt"});
    make_earlier(config["resolved"]);
    std::ofstream(out / "config.json") << config.dump();
    for (const fs::directory_entry& entry : fs::directory_iterator(out)) {
      if (!entry.path().filename().string().starts_with("checkpoint-")) continue;
      TensorFile file = read_tensors(entry.path());
      file.metadata["config"] = config.dump();
      write_tensors(entry.path(), file);
    }
    return run({"train", "--resume", "--progress", "none", "--out", out.string()});
  };
  const Outcome as_folder = resumed(folder / "folder", [](Json& resolved) {
    resolved["data"]["name"] = "folder";
    resolved["data"]["classes"] = {"n01", "n02"};
  });
  INFO(as_folder.err);
  CHECK(as_folder.status == 0);
  const Outcome unknown = resumed(folder / "unknown", [](Json& resolved) { resolved.erase("data"); });
  INFO(unknown.err);
  CHECK(unknown.status == 0);
  const Outcome other = resumed(folder / "other", [](Json& resolved) {
    resolved["data"]["name"] = "folder";
    resolved["classes"] = {"goldfish", "salamander"};
  });
  CHECK(other.status == 1);
  CHECK(says(other, "class 1: salamander there, newt here"));
}

TEST_CASE("a run of an earlier version resumes, evaluates and predicts") {
  const TemporaryFolder folder;
  write_images(folder / "data", {"cat", "dog", "eel"}, 16);
  const fs::path out = folder / "run";
  train_on(folder / "data", out, {"--image-size", "8"});
  const Json before = eval_json({out.string()});
  const std::string image = (folder / "data" / "test" / "dog" / "1.ppm").string();
  const std::string predicted = run({"predict", out.string(), image}).out;
  make_old(out);
  CHECK(eval_json({out.string()}) == before);
  const Outcome again = run({"predict", out.string(), image});
  CHECK(again.out == predicted);  // the run's options say how images were prepared
  CHECK(again.err.empty());
  CHECK(run({"train", "--resume", "--progress", "none", "--out", out.string()}).status == 0);
  CHECK(fs::exists(out / "evaluation.json"));
}

TEST_CASE("eval matches classes by their names, and says so") {
  const TemporaryFolder folder;
  write_images(folder / "data", {"cat", "dog", "eel"});
  write_images(folder / "some", {"dog", "eel"});
  write_images(folder / "others", {"dog", "eel", "fox"});
  const std::string out = (folder / "run").string();
  train_on(folder / "data", out, {}, 8);
  const auto of = [&](const char* name) { return Arguments{"--data", "folder:" + (folder / name).string()}; };
  const Json all = eval_json({out}), some = eval_json(Arguments{out} + of("some"));
  REQUIRE(all["accuracy"] == 1);  // of colours this plain
  CHECK(some["accuracy"] == 1);   // by position all of them would be wrong
  CHECK(some["per_class"][0] == Json{{"class", "cat"}, {"accuracy", nullptr}, {"samples", 0}});
  CHECK(some["per_class"][1] == all["per_class"][1]);
  CHECK(some["confusion"][2] == all["confusion"][2]);
  CHECK(says(run(Arguments{"eval", out} + of("some")), "2 of the 3 classes"));
  CHECK(!says(run(Arguments{"eval", out} + of("data")), "note:"));

  const Outcome others = run(Arguments{"eval", out} + of("others"));
  CHECK(others.status == 1);
  CHECK(others.out.empty());
  for (const char* text : {"fox", "dog, eel, fox", "cat, dog, eel", "--classes-by-position"})
    CHECK(says(others, text));
  const Outcome forced = run(Arguments{"eval", out, "--classes-by-position"} + of("others"));
  CHECK(forced.status == 0);
  CHECK(says(forced, "by their position"));
}

TEST_CASE("eval of a run whose data were changed says what is other") {
  const TemporaryFolder folder;
  const fs::path data = folder / "data";
  write_images(data, {"cat", "dog", "eel"});
  const std::string out = (folder / "run").string();
  train_on(data, out);
  CHECK(!says(run({"eval", out}), "note:"));
  fs::remove(data / "test" / "cat" / "1.ppm");
  const Outcome fewer = run({"eval", out});
  CHECK(fewer.status == 0);
  CHECK(says(fewer, "test images: 12 there, 11 here"));
  fs::rename(data / "train" / "cat", data / "train" / "zebra");
  fs::rename(data / "test" / "cat", data / "test" / "zebra");
  CHECK(run({"eval", out}).status == 1);
}

TEST_CASE("eval says in one line that the data are not those of the weights") {
  const TemporaryFolder folder;
  write_images(folder / "data", {"cat", "dog"});
  write_images(folder / "others", {"cat", "dog"}, 16);
  train_on(folder / "data", folder / "run");
  fs::rename(folder / "data", folder / "moved");
  const auto notes = [&](const char* data) {
    return run({"eval", (folder / "run" / "weights.safetensors").string(), "--data",
                "folder:" + (folder / data).string(), "--threads", "1"});
  };
  CHECK(notes("moved").err.find("other data") == std::string::npos);
  CHECK(says(notes("others"),
             "was trained on other data (folder there): images: 8x8 pixels, 3 channels there, 16x16"));
  write_image(folder / "moved" / "test" / "cat" / "1.ppm", "cat", 8, 99);
  CHECK(says(notes("moved"), "test images: as many, but other pixels or labels (digest "));
}

TEST_CASE("images are prepared as in training, unless one says otherwise") {
  const TemporaryFolder folder;
  write_images(folder / "large", {"cat", "dog"}, 24);
  write_images(folder / "small", {"cat", "dog"}, 8);
  train_on(folder / "large", folder / "resized", {"--image-size", "8"});
  train_on(folder / "small", folder / "kept");
  const std::string resized = (folder / "resized" / "weights.safetensors").string(),
                    kept = (folder / "kept" / "weights.safetensors").string(),
                    image = (folder / "large" / "test" / "cat" / "1.ppm").string(),
                    small = (folder / "small" / "test" / "cat" / "1.ppm").string();
  const auto predicted = [&](const Arguments& arguments) {
    return run(Arguments{"predict"} + arguments + Arguments{"--threads", "1"});
  };
  const Outcome as_trained = predicted({resized, image});
  CHECK(as_trained.err.empty());
  CHECK(as_trained.out == predicted({resized, image, "--size", "8"}).out);
  const Outcome own_size = predicted({resized, image, "--size", "0"});
  CHECK(own_size.out != as_trained.out);
  CHECK(says(own_size, "taken as 24x24, but the network was trained on images of 8x8"));
  CHECK(predicted({kept, small}).err.empty());
  const Outcome photograph = predicted({kept, image});
  CHECK(says(photograph, "24x24 pixels (height x width); resized and cropped to 8x8"));
  CHECK(photograph.out == predicted({kept, image, "--size", "8"}).out);

  const std::string large_data = "folder:" + (folder / "large").string();
  const Outcome eval = run({"eval", resized, "--data", large_data});
  CHECK(says(eval, "resized and cropped to 8x8, as in training"));
  CHECK(eval.out == run({"eval", (folder / "resized").string(), "--data", large_data}).out);
  CHECK(eval_json({resized, "--data", large_data})["loss"] ==
        eval_json({(folder / "resized").string()})["loss"]);
  CHECK(says(run({"eval", resized, "--data", large_data, "--image-size", "0"}),
             "trained on images of 8x8, these are of 24x24"));
  CHECK(says(run({"eval", kept, "--data", large_data}), "trained on images of 8x8, these are of 24x24"));
}

TEST_CASE("eval says where images are not what the weights were normalised for") {
  const TemporaryFolder folder;
  write_images(folder / "data", {"cat", "dog"});
  write_images(folder / "other", {"cat"});
  const std::string out = (folder / "run").string();
  train_on(folder / "data", out);
  const std::string other = "folder:" + (folder / "other").string();
  CHECK(says(run({"eval", out, "--data", other}), "images are normalised as the weights want it"));
}

TEST_CASE("one damaged image takes no others' predictions with it") {
  const TemporaryFolder folder;
  write_images(folder / "data", {"cat", "dog"});
  const std::string out = (folder / "run").string();
  train_on(folder / "data", out);
  const std::string good = (folder / "data" / "test" / "cat" / "1.ppm").string(),
                    last = (folder / "data" / "test" / "dog" / "1.ppm").string(),
                    bad = (folder / "cut.ppm").string();
  std::ofstream(bad) << "P6 8 8 255\nshort";
  const Outcome text = run({"predict", out, good, bad, last});
  CHECK(text.status == 1);
  CHECK(text.out.find(good) != std::string::npos);
  CHECK(text.out.find(last) != std::string::npos);
  CHECK(says(text, bad));
  CHECK(says(text, "1 of 3 images"));
  const Outcome json = run({"predict", out, good, bad, last, "--json"});
  CHECK(json.status == 1);
  const Json parsed = Json::parse(json.out);
  CHECK(parsed["predictions"].size() == 2);
  CHECK(parsed["failed"][0]["file"] == bad);
  CHECK(!Json::parse(run({"predict", out, good, "--json"}).out).contains("failed"));
  const Outcome none = run({"predict", out, bad});
  CHECK(none.status == 1);
  CHECK(none.out.empty());
}

TEST_CASE("a study keeps no run that was made with other data") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  write_images(folder / "easy", {"cat", "dog"});
  write_images(folder / "other", {"cat", "eel"});
  const std::string out = (folder / "study").string(), file = (folder / "s.toml").string();
  const auto study = [&](const fs::path& data) {
    std::ofstream(file) << "[base]\ndata = \"folder:" << data.string()
                        << "\"\nmodel = \"resnet8\"\noptimizer = \"sgd\"\nlr = 0.05\nepochs = 1\nbatch = 4\n"
                           "threads = 1\n[grid]\nseed = [1, 2]\n";
    return run({"study", file, "--out", out, "--progress", "none"});
  };
  REQUIRE(study(folder / "easy").status == 0);
  const std::string results = read_file(out + "/results.csv");
  const Outcome other = study(folder / "other");
  CHECK(other.status == 2);
  CHECK(says(other, "seed=1"));
  CHECK(says(other, "class 1: dog there, eel here"));
  CHECK(read_file(out + "/results.csv") == results);

  fs::rename(folder / "easy", folder / "moved");
  CHECK(study(folder / "moved").status == 0);  // the same data
  CHECK(read_file(out + "/results.csv") == results);
  CHECK(study(folder / "easy").status == 0);  // gone; the finished runs had that name for them
  CHECK(says(study(folder / "easy"), "cannot be told"));
  CHECK(study(folder / "nowhere").status == 1);
}

TEST_CASE("a report tells runs on two folders apart") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  write_images(folder / "easy", {"cat", "dog"});
  write_images(folder / "hard", {"cat", "eel"});
  train_on(folder / "easy", folder / "a");
  train_on(folder / "hard", folder / "b");
  const std::string page = (folder / "report.html").string();
  REQUIRE(run({"report", (folder / "a").string(), (folder / "b").string(), "-o", page}).status == 0);
  const std::string html = read_file(page);
  CHECK(html.find("sgd, folder:easy") != std::string::npos);
  CHECK(html.find("sgd, folder:hard") != std::string::npos);
  CHECK(html.find("tested on different images") != std::string::npos);
}

}  // namespace lamina::tests
