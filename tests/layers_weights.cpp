// Weight files: layouts, names, metadata, what does not fit.
#include "layers/weights.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "catch.h"
#include "core/autograd.h"
#include "layers/resnet.h"
#include "message_of.h"

using namespace lamina;
using lamina::tests::unexplained;
namespace fs = std::filesystem;

namespace {

class TemporaryFile {
 public:
  TemporaryFile() : path_(fs::temp_directory_path() / fmt::format("lamina-weights-{}", ::getpid())) {}
  ~TemporaryFile() { fs::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<float> logits_of(ResNet& net) {
  const NoGrad no_grad;
  const EvalMode eval_mode(net);
  std::vector<float> pixels(2 * 16 * 16 * 3);
  std::iota(pixels.begin(), pixels.end(), 0.0f);
  for (float& pixel : pixels) pixel = pixel / 1000 - 0.5f;
  return net(Tensor::from(pixels, {2, 16, 16, 3})).to_vector<float>();
}

// With running statistics and batch counts that are not the initial ones.
ResNet trained_model(const ResNetOptions& options) {
  ResNet net = resnet8(options);
  const NoGrad no_grad;
  for (int i = 0; i < 3; ++i) net(Tensor::full({4, 16, 16, 3}, 0.1 * i, {.dtype = options.dtype}));
  return net;
}

TensorFile file_of(const Module& net) { return to_tensor_file(net.state(), {}); }

TensorFile without(TensorFile file, const std::string& part) {
  std::erase_if(file.tensors,
                [&](const auto& tensor) { return tensor.first.find(part) != std::string::npos; });
  return file;
}

}  // namespace

TEST_CASE("Convolution weights are OIHW in files") {
  std::vector<float> values(2 * 3 * 4 * 5);
  std::iota(values.begin(), values.end(), 0.0f);
  const Tensor ours = Tensor::from(values, {2, 3, 4, 5});  // [out, kh, kw, in]
  const Tensor stored = ohwi_to_oihw(ours);
  REQUIRE(stored.shape() == Shape{2, 5, 3, 4});
  const auto x = stored.to_vector<float>();
  for (std::size_t o = 0; o < 2; ++o)
    for (std::size_t i = 0; i < 5; ++i)
      for (std::size_t h = 0; h < 3; ++h)
        for (std::size_t w = 0; w < 4; ++w)
          CHECK(x[((o * 5 + i) * 3 + h) * 4 + w] == values[((o * 3 + h) * 4 + w) * 5 + i]);
  CHECK(oihw_to_ohwi(stored).to_vector<float>() == values);
}

TEST_CASE("A saved model loads into another and computes the same") {
  const TemporaryFile file;
  ResNet net = trained_model({.seed = 1});
  const WeightInfo info{.model = "resnet8",
                        .stem = "cifar",
                        .shortcut = "A",
                        .classes = {"plane", "\"car\""},
                        .mean = {0.4914f, 0.4822f, 0.4465f},
                        .std = {0.247f, 0.2435f, 0.2616f}};
  save_weights(file.path(), net, info);

  ResNet other = resnet8({.seed = 2});
  const ParamList state = other.state();
  const Tensor before = state.front()->value;
  const LoadedWeights loaded = load_weights(file.path(), other);
  CHECK(logits_of(other) == logits_of(net));
  CHECK(state.front()->value.shares_storage(before));  // in place: an optimizer's arena stays in use
  CHECK(state.front()->value.requires_grad());
  for (const auto& param : state) {
    if (param->name.ends_with("num_batches_tracked")) CHECK(param->value.item() == 3);
  }
  for (const WeightInfo& said : {loaded.info, read_weight_info(file.path())}) {
    CHECK(said.model == "resnet8");
    CHECK(said.stem == "cifar");
    CHECK(said.shortcut == "A");
    CHECK(said.classes == info.classes);
    CHECK(said.mean == info.mean);
    CHECK(said.std == info.std);
  }
  const TensorFile stored = read_tensors(file.path());
  CHECK(stored.as_i64.size() == 7);  // one per batch norm, as PyTorch has them
  CHECK(stored.metadata.at("mean") == "[0.4914,0.4822,0.4465]");
}

TEST_CASE("Weights of another precision are converted") {
  const ResNet net = trained_model({.dtype = DType::f64, .seed = 1});
  ResNet other = resnet8({.seed = 2});
  load_weights(file_of(net), other.state());
  const auto ours = other.state().front()->value.to_vector<float>();
  const auto theirs = net.state().front()->value.to_vector<double>();
  for (std::size_t i = 0; i < ours.size(); ++i) CHECK(ours[i] == static_cast<float>(theirs[i]));
}

TEST_CASE("Sizes in the metadata that no image has count as unsaid") {
  for (const char* pixels : {"[1e30, 8]", "[-9e18, 8]", "[4294967296, 8]", "[8.5, 8]"}) {
    INFO(pixels);
    std::vector<std::string> notes;
    CHECK(info_from_metadata({{"image_pixels", pixels}}, &notes).image_pixels.empty());
    CHECK(notes.size() == 1);
  }
  CHECK(info_from_metadata({{"image_pixels", "[32, 48]"}}).image_pixels == std::vector<int>{32, 48});
  for (const char* size : {"1e30", "-1", "4294967328", "18446744073709551615"}) {
    INFO(size);
    CHECK(!info_from_metadata({{"image_size", size}}).image_size);
  }
}

TEST_CASE("A file that does not fit is refused as a whole") {
  ResNet net = resnet8({.seed = 1});
  const auto before = logits_of(net);
  const auto refused = [&](const TensorFile& file, std::initializer_list<const char*> parts) {
    std::string lacking = unexplained([&] { load_weights(file, net.state(), true, "w.st"); }, parts);
    CHECK(logits_of(net) == before);
    return lacking;
  };
  CHECK(refused(
            file_of(resnet8({.classes = 100})),
            {"w.st", "2 have another shape", "fc.weight: f32[100, 64] in the file, f32[10, 64] in the model",
             "resnet8 with the cifar stem, shortcut A and 100 classes"}) == "nothing");
  CHECK(refused(file_of(resnet14()), {"36 are unexpected (layer1.1.conv1.weight, ", ", …)", "resnet14"}) ==
        "nothing");
  CHECK(refused(file_of(resnet8({.shortcut = Shortcut::B})), {"downsample", "shortcut B"}) == "nothing");
  CHECK(refused(without(file_of(net), "fc."), {"2 tensors are missing (fc.weight, fc.bias)"}) == "nothing");
  CHECK(refused({}, {"tensors are missing (conv1.weight, ", "no model known here"}) == "nothing");

  TensorFile integers = file_of(net);
  integers.tensors.front().second = Tensor::zeros({16, 3, 3, 3}, {.dtype = DType::i32});
  CHECK(refused(integers, {"conv1.weight: i32[16, 3, 3, 3] in the file"}) == "nothing");

  TensorFile old = file_of(resnet18());
  CHECK(refused(old, {"resnet18 with the imagenet stem, shortcut B and 10 classes"}) == "nothing");
}

TEST_CASE("strict = false takes what fits and reports the rest") {
  const ResNet source = trained_model({.seed = 1});
  TensorFile file = without(file_of(source), "fc.");
  file.tensors.emplace_back("extra", Tensor::zeros({1}));
  ResNet net = resnet8({.seed = 2});
  const auto bias = net.parameters().back()->value.to_vector<float>();
  const LoadedWeights loaded = load_weights(file, net.state(), false);
  CHECK(loaded.missing == std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK(loaded.unexpected == std::vector<std::string>{"extra"});
  CHECK(net.parameters().back()->value.to_vector<float>() == bias);
  CHECK(net.parameters().front()->value.to_vector<float>() ==
        source.parameters().front()->value.to_vector<float>());
}

TEST_CASE("Batch counts may be missing, and count as 0 then") {
  ResNet net = trained_model({.seed = 2});
  load_weights(without(file_of(trained_model({.seed = 1})), "num_batches_tracked"), net.state());
  for (const auto& param : net.state()) {
    if (param->name.ends_with("num_batches_tracked")) CHECK(param->value.item() == 0);
  }
}

TEST_CASE("A ResNet is recognised from its names and shapes") {
  for (const std::string& name : resnet_names()) {
    const bool large = name == "resnet18" || name == "resnet34" || name == "resnet110";
    if (large) continue;  // slow to make, nothing new
    const ResNet net = resnet(name, {.classes = 3, .stem = Stem::cifar, .shortcut = Shortcut::B});
    const ProbableModel probable = probable_model(file_of(net));
    INFO(name);
    CHECK(probable.model == name);
    CHECK(probable.stem == "cifar");
    CHECK(probable.shortcut == "B");
    CHECK(probable.classes == 3);
    if (name != "resnet50") CHECK(probable_model(file_of(resnet(name))).shortcut == "A");
  }
}
