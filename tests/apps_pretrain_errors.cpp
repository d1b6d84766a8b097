// What `lamina pretrain` refuses, before it trains or while it does, and what it says then.
#include "catch.h"
#include "program.h"

namespace lamina::tests {
namespace {

Arguments refused_pretraining(const fs::path& out) {
  return {"pretrain",
          "--data",
          "synthetic:8x8x3x4",
          "--model",
          "resnet8",
          "--limit-train",
          "200",
          "--limit-test",
          "64",
          "--epochs",
          "2",
          "--progress",
          "none",
          "--threads",
          "1",
          "--out",
          out.string()};
}

void write_square(const fs::path& image) {
  fs::create_directories(image.parent_path());
  std::ofstream(image, std::ios::binary) << "P6 8 8 255\n" << std::string(192, 'x');
}

struct Refusal {
  Arguments options;
  std::string message;  // part of it
};

}  // namespace

TEST_CASE("options of a pretraining that make no sense are refused, and nothing is left") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const std::vector<Refusal> refusals{
      {{}, "--method is missing; expected one of barlow-twins, simclr, vicreg"},
      {{"--method", "barlow"}, "--method barlow: unknown; did you mean barlow-twins?"},
      {{"--method", "vicreg", "--projector", "64,0"}, "--projector 0: expected a whole number of at least 1"},
      {{"--method", "vicreg", "--projector", "2.5"}, "--projector 2.5: expected a whole number"},
      {{"--method", "vicreg", "--batch", "1"}, "--batch 1: it compares samples"},
      {{"--method", "vicreg", "--bn-batch", "1"}, "--bn-batch 1: a variance takes at least 2"},
      {{"--method", "vicreg", "--batch", "32", "--bn-batch", "64"}, "more samples than are computed at once"},
      {{"--method", "vicreg", "--batch", "32", "--micro-batch", "1"}, "--micro-batch 1: it compares samples"},
      {{"--method", "vicreg", "--batch", "33", "--micro-batch", "16"}, "leaves one sample"},
      {{"--method", "vicreg", "--batch", "32", "--micro-batch", "16", "--bn-batch", "6"}, "no multiple of"},
      {{"--method", "vicreg", "--views", "solo-learn-simcrl"}, "did you mean solo-learn-simclr?"},
      {{"--method", "vicreg", "--set-loss", "gama=2"},
       "--set-loss gama: no such option of the loss of vicreg; did "
       "you mean gamma?"},
      {{"--method", "vicreg", "--set-loss", "gamma=0"}, "--set-loss gamma: 0: expected"},
      {{"--method", "vicreg", "--set-loss", "gamma=nan"}, "--set-loss gamma: nan: expected"},
      {{"--method", "vicreg", "--set-loss", "sum_variances=1"}, "expected true or false"},
      {{"--method", "vicreg", "--label-smoothing", "0.1"}, "unknown option --label-smoothing"},
      {{"--method", "vicreg", "--milestones", "1"}, "--milestones does nothing without --schedule step"},
      {{"--method", "simclr", "--official-gradient"}, "trains barlow-twins alone, not simclr"},
      {{"--method", "barlow-twins", "--optimizer", "adamw", "--official-bias-rate"},
       "--official-bias-rate does nothing without --optimizer lars or tvlars"},
      {{"--method", "barlow-twins", "--official-bias-rate", "--set", "excluded_lr_scale=2"},
       "give one of them"},
  };
  for (const Refusal& refusal : refusals) {
    const Outcome outcome = run(refused_pretraining(out) + refusal.options);
    INFO(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find(refusal.message) != std::string::npos);
    CHECK(!fs::exists(out));
  }
}

TEST_CASE("a loss of pretraining that is no number names what is none") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Outcome outcome =
      run(refused_pretraining(out) + Arguments{"--method", "barlow-twins", "--batch", "32", "--optimizer",
                                               "sgd", "--lr", "1e30", "--projector", "16"});
  INFO(outcome.err);
  CHECK(outcome.status == 1);
  CHECK(outcome.err.find("training diverged in epoch 1") != std::string::npos);
  CHECK(outcome.err.find("the on_diagonal nan") != std::string::npos);
}

TEST_CASE("without labels to tell apart a pretraining says that its features are not measured") {
  const TemporaryFolder folder;
  const fs::path images = folder / "images", out = folder / "run";
  for (const char* name :
       {"train/all/1.ppm", "train/all/2.ppm", "train/all/3.ppm", "train/all/4.ppm", "test/all/1.ppm"})
    write_square(images / name);
  const Outcome outcome = run({"pretrain", "--method", "simclr", "--data", "folder:" + images.string(),
                               "--model", "resnet8", "--batch", "4", "--epochs", "1", "--projector", "8",
                               "--progress", "none", "--threads", "1", "--out", out.string()});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("note: --knn-every 5: nothing is measured") != std::string::npos);
  CHECK(read_file(out / "epochs.csv").find("knn") == std::string::npos);
}

TEST_CASE("a pretraining does not go on with another recipe") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Arguments options{"--method", "simclr", "--batch", "32", "--projector", "8"};
  REQUIRE(run(refused_pretraining(out) + options).status == 0);
  for (const Arguments& other :
       {Arguments{"--set-loss", "temperature=0.2"}, Arguments{"--views", "lightly-simclr"},
        Arguments{"--projector", "9"}, Arguments{"--bn-batch", "16"}}) {
    const Outcome outcome = run(refused_pretraining(out) + options + Arguments{"--resume"} + other);
    INFO(outcome.err);
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find(other[0]) != std::string::npos);
  }
}

}  // namespace lamina::tests
