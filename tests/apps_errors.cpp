// What goes wrong says so, and with the right exit status: 1 failed while running, 2 wrong usage.
#include "catch.h"
#include "program.h"

namespace lamina::tests {
namespace {

struct ErrorCase {
  const char* name;
  Arguments arguments;
  int status;
  std::vector<std::string> message;  // parts of it
};

void check_case(const ErrorCase& c) {
  const Outcome outcome = run(c.arguments);
  INFO(c.name << "\n" << outcome.err);
  CHECK(outcome.status == c.status);
  for (const std::string& part : c.message) {
    INFO("missing: " << part);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  CHECK(outcome.err.starts_with("lamina: "));
}

}  // namespace

TEST_CASE("wrong usage is status 2 and lists what is right") {
  const TemporaryFolder folder;
  const Arguments tiny = tiny_training(folder / "run");
  const std::vector<ErrorCase> cases{
      {"command", {"trian"}, 2, {"unknown command \"trian\"", "train, eval, predict, replay"}},
      {"option", {"train", "--ephocs", "3"}, 2, {"--ephocs", "did you mean --epochs?"}},
      {"option with value", {"train", "--batchsize=3"}, 2, {"unknown option --batchsize;"}},
      {"stray word", {"train", "cifar10"}, 2, {"unexpected argument \"cifar10\""}},
      {"not a number", {"train", "--epochs", "ten"}, 2, {"--epochs", "ten"}},
      {"no data", {"train"}, 2, {"--data is missing"}},
      {"data", {"train", "--data", "cifar11"}, 2, {"cifar11", "cifar10", "fashion-mnist", "tiny-imagenet"}},
      {"model", tiny + Arguments{"--model", "resnet21"}, 2, {"resnet21", "resnet20", "resnet50"}},
      {"optimizer", tiny + Arguments{"--optimizer", "adam"}, 2, {"adam", "adamw", "tvlars"}},
      {"preset", tiny + Arguments{"--optimizer", "lars:papers"}, 2, {"papers", "paper", "barlowtwins"}},
      {"knob", tiny + Arguments{"--set", "trust=1"}, 2, {"trust", "trust_coefficient"}},
      {"knob without value", tiny + Arguments{"--set", "momentum"}, 2, {"momentum"}},
      {"schedule", tiny + Arguments{"--schedule", "cosin"}, 2, {"cosin", "cosine", "poly"}},
      {"scaling", tiny + Arguments{"--lr-scaling", "cubic"}, 2, {"cubic", "linear", "sqrt"}},
      {"augment", tiny + Arguments{"--augment", "all"}, 2, {"all", "none", "standard"}},
      {"cutout", tiny + Arguments{"--cutout", "-1"}, 2, {"--cutout -1", "at least 0"}},
      {"mixup", tiny + Arguments{"--mixup", "-1"}, 2, {"--mixup -1", "at least 0"}},
      {"mixup on a GPU",
       tiny + Arguments{"--mixup", "1", "--device", "cuda"},
       2,
       {"--mixup 1 needs --device"}},
      {"stem", tiny + Arguments{"--stem", "big"}, 2, {"big", "cifar", "imagenet"}},
      {"init", tiny + Arguments{"--init", "zero"}, 2, {"zero", "kaiming_normal"}},
      {"progress", tiny + Arguments{"--progress", "loud"}, 2, {"loud", "auto, plain or none"}},
      {"precision", tiny + Arguments{"--precision", "bf16"}, 2, {"bf16", "f32"}},
      {"tf32", tiny + Arguments{"--tf32"}, 2, {"--tf32 concerns --device cuda", "cpu"}},
      {"eval tf32", {"eval", "weights", "--data", "synthetic", "--tf32"}, 2, {"--tf32 concerns"}},
      {"predict bf16", {"predict", "weights", "x.png", "--precision", "bf16"}, 2, {"--precision bf16"}},
      {"half", tiny + Arguments{"--precision", "half"}, 2, {"half", "f32 or bf16"}},
      {"limit", tiny + Arguments{"--memory-limit", "-1"}, 2, {"--memory-limit -1", "at least 0"}},
      {"device", tiny + Arguments{"--device", "gpu"}, 2, {"gpu", "cuda"}},
      {"epochs", tiny + Arguments{"--epochs", "0"}, 2, {"--epochs 0", "at least 1"}},
      {"smoothing", tiny + Arguments{"--label-smoothing", "1"}, 2, {"--label-smoothing 1"}},
      {"micro-batch",
       tiny + Arguments{"--micro-batch", "64"},
       2,
       {"--micro-batch 64 is larger than --batch 32"}},
      {"resume what", {"train", "--resume"}, 2, {"--out"}},
      {"predict nothing", {"predict", "weights"}, 2, {"images"}},
  };
  for (const ErrorCase& c : cases) check_case(c);
  CHECK(!fs::exists(folder / "run"));
}

TEST_CASE("what fails while running is status 1") {
  const TemporaryFolder folder;
  const Arguments tiny = tiny_training(folder / "run");
  std::ofstream(folder / "text") << "hello";
  fs::create_directory(folder / "others");
  std::ofstream(folder / "others/notes.txt") << "mine";
  const std::string text = (folder / "text").string(), others = (folder / "others").string();
  const std::vector<ErrorCase> cases{
      {"cuda", tiny + Arguments{"--device", "cuda:99"}, 1, {"device cuda:99", "--device cpu"}},
      {"cuda with TF32", tiny + Arguments{"--device", "cuda:99", "--tf32"}, 1, {"device cuda:99"}},
      {"no data there", {"train", "--data", "cifar10:" + others}, 1, {others, "test_batch.bin"}},
      {"batch", tiny + Arguments{"--batch", "300"}, 1, {"300", "200"}},
      {"out is a file", tiny + Arguments{"--out", text}, 1, {text, "is a file"}},
      {"out is taken", tiny + Arguments{"--out", others}, 1, {others, "not a run directory", "--out"}},
      {"config missing", {"train", "--config", others + "/none.toml"}, 1, {"none.toml"}},
      {"not weights", {"eval", text, "--data", "synthetic"}, 1, {text}},
      {"no weights", {"eval", others + "/none", "--data", "synthetic"}, 1, {"none"}},
      {"not a run", {"eval", others, "--data", "synthetic"}, 1, {others, "config.json"}},
  };
  for (const ErrorCase& c : cases) check_case(c);
  CHECK(!fs::exists(folder / "run"));
  CHECK(read_file(folder / "others/notes.txt") == "mine");
}

TEST_CASE("a run directory is never written twice") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(run(tiny_training(out, 1)).status == 0);
  const std::string weights = read_file(out / "weights.safetensors");
  check_case({"finished", tiny_training(out, 1), 1, {out.string(), "holds a finished run", "--out"}});
  fs::remove(out / "weights.safetensors");
  check_case({"unfinished", tiny_training(out, 1), 1, {out.string(), "unfinished run", "--resume"}});
  fs::remove(out / "config.json");
  check_case({"half-written", tiny_training(out, 1), 1, {out.string(), "no config.json"}});
}

TEST_CASE("a loss that is not finite stops the run and names the layer") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Outcome outcome =
      run(tiny_training(out) + Arguments{"--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant",
                                         "--checkpoint-steps", "1"});
  INFO(outcome.err);
  CHECK(outcome.status == 1);
  for (const char* part : {"epoch 1, step 2", "conv2d in ", "checkpoint-1.safetensors", "lower --lr"}) {
    INFO("missing: " << part);
    CHECK(outcome.err.find(part) != std::string::npos);
  }
  CHECK(!fs::exists(out / "weights.safetensors"));
  CHECK(!fs::exists(out / "checkpoint-2.safetensors"));
  CHECK(run({"eval", out.string()}).err.find("checkpoint-1.safetensors") != std::string::npos);
}

TEST_CASE("an unwritable run directory stops the run") {
  const TemporaryFolder folder;
  if (geteuid() == 0) {
    WARN("skipped: root may write everywhere");
    return;
  }
  fs::create_directory(folder / "locked");
  fs::permissions(folder / "locked", fs::perms::owner_read | fs::perms::owner_exec);
  const Outcome outcome = run(tiny_training(folder / "locked/run"));
  CHECK(outcome.status == 1);
  CHECK(outcome.err.find("Permission denied") != std::string::npos);
  fs::permissions(folder / "locked", fs::perms::owner_all);
}

}  // namespace lamina::tests
