#include "cases.h"

#include <algorithm>
#include <stdexcept>

namespace lamina::faults {
namespace {

namespace fs = std::filesystem;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Arguments quiet{"--threads", "1", "--workers", "1", "--progress", "none"};
const Arguments tiny = Arguments{"--model", "resnet8", "--optimizer",   "lars", "--lr",         "1",
                                 "--batch", "8",       "--limit-train", "24",   "--limit-test", "8"};
Arguments resumed_by(const std::string& command) {
  return Arguments{command, "--resume", "--out", "run"} + quiet;
}
const Arguments resume = resumed_by("train");

// Four images of 8×8 for each of two classes and each split, as PPM.
Tree image_folder() {
  Tree tree;
  for (const char* split : {"train", "test"})
    for (const char* name : {"cat", "dog"})
      for (int i = 0; i < 4; ++i) {
        std::string image = "P6 8 8 255\n";
        for (int k = 0; k < 192; ++k)
          image += static_cast<char>((name[0] * (k % 3 + 1) + 37 * i + 11 * k + split[1]) % 256);
        tree["images/" + (split + ("/" + std::string(name))) + "/" + std::to_string(i) + ".ppm"] = image;
      }
  return tree;
}

// The program does without faults what a later case starts from.
class Maker {
 public:
  Maker(fs::path program, fs::path folder) : program_(std::move(program)), folder_(std::move(folder)) {}

  Tree operator()(const Tree& before, const Arguments& arguments) const {
    write_tree(folder_, before);
    const Outcome outcome = run(program_, arguments, folder_, environment_in(folder_));
    if (outcome.status != 0) throw std::runtime_error("without a fault: " + outcome.err);
    return read_tree(folder_);
  }

 private:
  fs::path program_, folder_;
};

// A run killed after its first checkpoint, once the next epoch's steps were logged.
Tree unfinished(Tree run, const std::string& folder) {
  for (const char* name : {"checkpoint-4.safetensors", "weights.safetensors", "evaluation.json"})
    run.erase(folder + name);
  return run;
}

std::vector<Case> training_cases(const Maker& make) {
  const Arguments train = Arguments{"train", "--data",  "synthetic:8x8x3x4", "--valid", "8",     "--keep",
                                    "best",  "--trace", "--epochs",          "2",       "--out", "run"} +
                          tiny + quiet;
  const std::vector<std::string> results{"run/weights.",  "run/best.",   "run/trace.",     "run/epochs.csv",
                                         "run/steps.csv", "run/config.", "run/evaluation."};
  const Tree run = make({}, train);
  return {{.name = "train",
           .arguments = train,
           .before = {},
           .results = results,
           .changes = {"run/"},
           .cleans = {"run/"}},
          {.name = "resume",
           .arguments = resume,
           .before = unfinished(run, "run/"),
           .results = results,
           .changes = {"run/"},
           .cleans = {"run/"}},
          {.name = "pretrain",
           .arguments =
               Arguments{"pretrain", "--method", "simclr", "--projector", "8", "--data", "synthetic:8x8x3x4",
                         "--epochs", "1", "--knn-every", "1", "--trace", "--out", "run"} +
               tiny + quiet,
           .before = {},
           .results = {"run/weights.", "run/trace.", "run/epochs.csv", "run/steps.csv", "run/config."},
           .changes = {"run/"},
           .cleans = {"run/"}}};
}

std::vector<Case> reading_cases(const Maker& make) {
  const Tree images = image_folder();
  const Arguments train =
      Arguments{"train", "--data", "folder:images", "--epochs", "1", "--out", "run"} + tiny + quiet;
  const Tree run = make(images, train);
  const Arguments folder{"--data", "folder:images"}, json{"--threads", "1", "--workers", "1", "--json"};
  return {{.name = "folder",
           .arguments = train,
           .before = images,
           .results = {"run/weights.", "run/epochs.csv", "run/steps.csv", "run/config.", "run/evaluation."},
           .changes = {"run/", "cache/"},
           .cleans = {"run/"}},
          {.name = "eval",
           .arguments = Arguments{"eval", "run"} + folder + json,
           .before = run,
           .results = {},
           .changes = {"cache/"},
           .compares_output = true},
          {.name = "predict",
           .arguments = {"predict", "run/weights.safetensors", "images/test/cat/0.ppm",
                         "images/test/dog/1.ppm", "--threads", "1", "--json"},
           .before = run,
           .results = {},
           .changes = {},
           .compares_output = true},
          {.name = "features",
           .arguments = Arguments{"features", "run", "--threads", "1", "--workers", "1", "--out",
                                  "features.safetensors"} +
                        folder,
           .before = run,
           .results = {"features.safetensors"},
           .changes = {"features.", "cache/"}},
          {.name = "find-lr",
           .arguments = Arguments{"find-lr", "--init-weights", "run", "--steps", "3"} + folder + tiny + json,
           .before = run,
           .results = {},
           .changes = {"cache/"},
           .compares_output = true}};
}

Case replay_case() {
  const fs::path example = fs::path(LAMINA_SOURCE_DIR) / "docs/replay";
  return {.name = "replay",
          .arguments = {"replay", "--optimizer", "lars:timm", "--params", "params.safetensors", "--grads",
                        "grads.safetensors", "--lrs", "0.1,0.2,0.2", "--out", "out.safetensors"},
          .before = {{"params.safetensors", read_file(example / "params.safetensors")},
                     {"grads.safetensors", read_file(example / "grads.safetensors")}},
          .results = {"out.safetensors"},
          .changes = {"out.safetensors"},
          .compares_output = true};
}

std::vector<Case> study_cases(const Maker& make) {
  const Tree file{
      {"study.toml",
       "[base]\ndata = \"synthetic:8x8x3x4\"\nmodel = \"resnet8\"\nlimit_train = 16\nlimit_test = 8\n"
       "batch = 8\nepochs = 1\nthreads = 1\nworkers = 1\nlr = 0.1\ntrace = true\n"
       "[evaluate]\nknn = true\nbaseline = true\n"
       "[[contender]]\nlabel = \"SGD\"\noptimizer = \"sgd\"\n"
       "[[contender]]\nlabel = \"LARS\"\noptimizer = \"lars\"\n"}};
  const Arguments study{"study", "study.toml", "--out", "st", "--progress", "none"};
  const Case first{.name = "study",
                   .arguments = study,
                   .before = file,
                   .results = {"st/results.csv", "st/table.", "st/study.toml", "st/runs/lars/weights.",
                               "st/runs/lars/trace.", "st/runs/lars/steps.csv", "st/runs/sgd/weights.",
                               "st/runs/sgd/epochs.csv", "st/runs/sgd/config.", "st/runs/sgd/evaluation.",
                               "st/runs/lars/knn.", "st/baselines/resnet8_seed=1/knn."},
                   .changes = {"st/"},
                   .cleans = {"st/runs/"}};
  Case again = first;
  again.name = "study again";
  again.before = make(file, study);
  for (const char* name : {"weights.safetensors", "evaluation.json", "knn.json"})
    std::erase_if(again.before, [&](const auto& entry) {
      return entry.first.starts_with("st/runs/lars") && entry.first.ends_with(name);
    });
  return {first, again};
}

std::vector<Case> report_cases(const Maker& make) {
  Tree runs;
  for (const char* name : {"a", "b"})
    runs = make(runs, Arguments{"train", "--data", "synthetic:8x8x3x4", "--epochs", "1", "--trace",
                                "--sharpness-every", "1", "--sharpness-limit", "16", "--out", name, "--seed",
                                name[0] == 'a' ? "1" : "2"} +
                          tiny + quiet);
  runs = make(runs, {"sharpness", "a", "--limit", "16", "--density", "--density-steps", "2", "--progress",
                     "none", "--out", "a/sharpness.json"});
  const Case first{.name = "report",
                   .arguments = {"report", "A=a", "B=b", "-o", "out/report.html"},
                   .before = runs,
                   .results = {"out/"},
                   .changes = {"out/"},
                   .together = {"out/"}};
  Case over = first;
  over.name = "report over";
  over.before = make(runs, {"report", "a", "-o", "out/report.html", "--title", "Earlier"});
  over.own = {"out/report-files/mine.pdf", "out/report-files/notes/", "out/other.html"};
  over.before["out/report-files/mine.pdf"] = "made by hand";
  over.before["out/report-files/notes/a.txt"] = "written by hand";
  over.before["out/other.html"] = "of another program";
  return {first, over};
}

// While a run is trained, and of one that has ended; there the products that a killed process leaves for the
// next.
std::vector<Case> curvature_cases(const Maker& make) {
  const Arguments train = Arguments{"train",
                                    "--data",
                                    "synthetic:8x8x3x4",
                                    "--epochs",
                                    "1",
                                    "--sharpness-every",
                                    "1",
                                    "--sharpness-limit",
                                    "8",
                                    "--out",
                                    "run"} +
                          tiny + quiet;
  return {{.name = "train curvature",
           .arguments = train,
           .before = {},
           .results = {"run/weights.", "run/epochs.csv", "run/config.", "run/curvature."},
           .changes = {"run/"},
           .cleans = {"run/"}},
          {.name = "sharpness",
           .arguments = Arguments{"sharpness", "run", "--limit", "8", "--max-steps", "4", "--journal",
                                  "products.journal", "--out", "run/sharpness.json"} +
                        quiet,
           .before = make({}, train),
           .results = {"run/sharpness.json"},
           .changes = {"run/sharpness.", "products."}}};
}

// A page, its figures, and the points that a killed process leaves for the next.
Case landscape_case(const Maker& make) {
  const Arguments train{"train", "--data", "synthetic:8x8x3x4", "--epochs", "1", "--out", "run"};
  return {.name = "landscape",
          .arguments =
              Arguments{"landscape", "run", "--limit", "8", "--size", "2", "-o", "out/page.html"} + quiet,
          .before = make({}, train + tiny + quiet),
          .results = {"out/page.html", "out/page-files/", "out/page-points/"},
          .changes = {"out/"},
          .together = {"out/page.html", "out/page-files/"},
          .cleans = {"out/page-points/"}};
}

}  // namespace

bool starts_with_any(const std::string& path, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const std::string& beginning) { return path.starts_with(beginning); });
}

Arguments command_to_go_on(const Case& c, const Tree& seen) {
  const std::string& command = c.arguments.front();
  const bool trains = (command == "train" || command == "pretrain") && seen.contains("run/config.json");
  return trains ? resumed_by(command) : c.arguments;
}

Environment environment_in(const fs::path& folder) {
  return {{"HOME", folder.string()}, {"XDG_CACHE_HOME", (folder / "cache").string()}, {"LC_ALL", "C.UTF-8"}};
}

std::vector<Case> make_cases(const fs::path& program, const fs::path& scratch) {
  const Maker make(program, scratch / "made");
  std::vector<Case> cases = training_cases(make);
  for (const auto& more : {reading_cases(make),
                           {replay_case()},
                           study_cases(make),
                           report_cases(make),
                           curvature_cases(make),
                           {landscape_case(make)}})
    cases.insert(cases.end(), more.begin(), more.end());
  for (Case& c : cases) add_folders(c.before);
  return cases;
}

}  // namespace lamina::faults
