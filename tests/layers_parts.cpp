// Models taken apart and put together: heads, copies, parts by their path, weights that fit.
#include "catch.h"
#include "core/autograd.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "layers/copy_state.h"
#include "layers/layers.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

Tensor images() {
  std::vector<float> pixels(2 * 8 * 8 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i % 97) / 97 - 0.5f;
  return Tensor::from(pixels, {2, 8, 8, 3});
}

std::vector<float> output_of(ResNet& net) {
  const NoGrad no_grad;
  const EvalMode eval_mode(net);
  return net(images()).to_vector<float>();
}

std::vector<float> values_of(const Module& module, const std::string& name) {
  return module.parameter(name).value.to_vector<float>();
}

// With statistics that are not the initial ones.
ResNet used_net(const ResNetOptions& options) {
  ResNet net = resnet8(options);
  const NoGrad no_grad;
  net(images());
  return net;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("a ResNet without a head gives its features") {
  ResNet whole = resnet8({.classes = 5, .seed = 3}), backbone = resnet8({.head = false, .seed = 3});
  CHECK(backbone.options().classes == 0);
  CHECK(backbone.state().size() == whole.state().size() - 2);
  CHECK(backbone.state().back()->name == "layer3.0.bn2.num_batches_tracked");
  const NoGrad no_grad;
  const EvalMode whole_mode(whole), backbone_mode(backbone);
  const Tensor features = backbone(images());
  CHECK(features.shape() == Shape{2, 64});
  CHECK(features.to_vector<float>() == whole.features(images()).to_vector<float>());

  const TensorFile file = to_tensor_file(backbone.state(), {});
  CHECK_FALSE(file.contains("fc.weight"));
  const ProbableModel probable = probable_model(file);
  CHECK(probable.model == "resnet8");
  CHECK(probable.classes == 0);
  CHECK(probable.str() == "resnet8 with the cifar stem, shortcut A and no last layer");
  CHECK(load_matching_weights(file, whole.state()).missing ==
        std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK_THROWS_AS(resnet8({.head = false, .channels = 0}), UsageError);
}

TEST_CASE("reset_head starts a last layer as a new net would") {
  for (const bool head : {true, false}) {
    ResNet net = used_net({.classes = 5, .head = head, .seed = 3});
    const auto before = values_of(net, "layer3.0.conv2.weight");
    net.eval();
    net.reset_head(7, 11);
    const ResNet fresh = resnet8({.classes = 7, .seed = 11});
    CHECK(values_of(net, "fc.weight") == values_of(fresh, "fc.weight"));
    CHECK(values_of(net, "fc.bias") == values_of(fresh, "fc.bias"));
    CHECK(values_of(net, "layer3.0.conv2.weight") == before);
    CHECK(net.options().classes == 7);
    CHECK(net.options().head);
    CHECK_FALSE(net.child("fc").training());
    CHECK(net.parameters().size() == fresh.parameters().size());
    CHECK(output_of(net).size() == 2 * 7);
    cross_entropy(net(images()), Tensor::from<std::int32_t>({0, 6}, {2})).backward();
    CHECK(net.parameter("fc.weight").grad().defined());
    CHECK(net.parameter("conv1.weight").grad().defined());
  }
  ResNet net = resnet8();
  CHECK_THROWS_AS(net.reset_head(0), UsageError);
  CHECK(net.parameter("fc.weight").value.size(0) == 10);
}

TEST_CASE("zero_init_residual changes the last batch norms and nothing drawn from the seed") {
  const ResNet zeroed = resnet8({.zero_init_residual = true, .seed = 4}), usual = resnet8({.seed = 4});
  for (const auto& param : usual.parameters()) {
    const bool last_norm = param->name.ends_with(".bn2.weight");
    const auto expected = last_norm ? std::vector<float>(static_cast<std::size_t>(param->value.elements()), 0)
                                    : param->value.to_vector<float>();
    CHECK(values_of(zeroed, param->name) == expected);
  }
}

TEST_CASE("a clone computes the same and goes its own way") {
  ResNet net = used_net({.classes = 5, .shortcut = Shortcut::B, .zero_init_residual = true, .seed = 3});
  net.reset_head(6);
  net.child("layer2").eval();
  ResNet copy = net.clone();
  CHECK(copy.model() == "resnet8");
  CHECK(copy.training());
  CHECK_FALSE(copy.child("layer2.0.bn1").training());
  CHECK(copy.child("layer1.0.bn1").training());
  const auto before = output_of(net);
  CHECK(output_of(copy) == before);
  REQUIRE(copy.state().size() == net.state().size());
  for (std::size_t i = 0; i < net.state().size(); ++i) {
    const Param &a = *net.state()[i], &b = *copy.state()[i];
    CHECK(a.name == b.name);
    CHECK(a.value.shape() == b.value.shape());
    CHECK_FALSE(a.value.shares_storage(b.value));
    CHECK(b.value.requires_grad() == b.trainable());
    if (b.value.dtype() == DType::f32) b.value.detach().fill(0.5);
  }
  CHECK(output_of(copy) != before);
  CHECK(output_of(net) == before);
}

TEST_CASE("copy_state sets one module to the values of another") {
  ResNet from = used_net({.seed = 1}), to = resnet8({.seed = 2});
  const Tensor memory = to.parameter("conv1.weight").value;
  copy_state(from, to);
  CHECK(output_of(to) == output_of(from));
  CHECK(to.parameter("bn1.num_batches_tracked").value.item() == 1);
  CHECK(memory.shares_storage(to.parameter("conv1.weight").value));

  Sequential outer;  // a part of a larger model, of another precision
  auto& inner = outer.add<Sequential>();
  inner.add<Linear>(3, 2, LinearLayerOptions{.tensor = {.dtype = DType::f64}});
  Sequential alone;
  alone.add<Linear>(3, 2);
  initialise(alone);
  copy_state(alone, inner);
  CHECK(outer.parameter("0.0.weight").value.to_vector<double>()[4] ==
        static_cast<double>(values_of(alone, "0.weight")[4]));

  const auto before = values_of(to, "fc.bias");
  CHECK(unexplained([&] { copy_state(resnet8({.classes = 3}), to); }, {"copy_state", "fc.", "[3", "[10"}) ==
        "nothing");
  CHECK(unexplained([&] { copy_state(resnet14(), to); }, {"layer1.1.bn1.bias", "copied from alone"}) ==
        "nothing");
  CHECK(unexplained([&] { copy_state(resnet8({.head = false}), to); }, {"fc.bias", "copied to alone"}) ==
        "nothing");
  CHECK(values_of(to, "fc.bias") == before);
}

TEST_CASE("parts and parameters are found by their path") {
  ResNet net = resnet8();
  CHECK(&net.child("layer1.0") == net.children()[2]->children()[0].get());
  CHECK(net.child("layer2").child("0.conv1").path() == "layer2.0.conv1");
  CHECK(net.child<Conv2d>("layer2.0.conv1").kind() == "Conv2d 16 -> 32, 3x3 / 2");
  CHECK(&net.child("layer1").parameter("0.bn1.running_var") == &net.parameter("layer1.0.bn1.running_var"));
  const ResNet& constant = net;
  CHECK(&constant.child<BatchNorm2d>("bn1") == &constant.child("bn1"));
  CHECK(unexplained([&] { net.child("layer1.1"); }, {"ResNet", "\"layer1.1\"", "layer1.0"}) == "nothing");
  CHECK(unexplained([&] { net.child("layer1.0").child("bn3"); }, {"layer1.0: no part \"bn3\"", "bn1, bn2"}) ==
        "nothing");
  for (const char* path : {"", ".", "layer1.", ".layer1"}) CHECK_THROWS_AS(net.child(path), Error);
  CHECK(unexplained([&] { net.child<Linear>("conv1"); }, {"conv1", "Conv2d 3 -> 16, 3x3", "Linear"}) ==
        "nothing");
  CHECK(unexplained([&] { net.parameter("fc.weights"); }, {"\"fc.weights\"", "fc.weight"}) == "nothing");
  CHECK(unexplained([] { ReLU().parameter("weight"); }, {"ReLU", "\"weight\"", "none"}) == "nothing");
}

TEST_CASE("weights that fit are taken, the rest is told") {
  const ResNet source = used_net({.classes = 100, .seed = 1});
  WeightInfo info;
  info.mean = {0.5f, 0.5f, 0.5f};
  TensorFile file = to_tensor_file(source.state(), info);
  file.tensors.emplace_back("extra", Tensor::zeros({1}));
  ResNet net = resnet8({.classes = 5, .seed = 2});
  const auto head = values_of(net, "fc.weight");
  const MatchedWeights matched = load_matching_weights(file, net.state());
  CHECK(matched.taken.size() == source.state().size() - 2);
  CHECK(has(matched.taken, "bn1.running_mean"));
  CHECK(matched.missing.empty());
  CHECK(matched.other_shape == std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK(matched.unexpected == std::vector<std::string>{"extra"});
  CHECK(matched.model.classes == 100);
  CHECK(matched.info.mean.size() == 3);
  CHECK(values_of(net, "fc.weight") == head);
  CHECK(values_of(net, "bn1.running_mean") == values_of(source, "bn1.running_mean"));
  CHECK(net.parameter("conv1.weight").value.requires_grad());
}

TEST_CASE("a file of which no weight fits is refused, and changes nothing") {
  // Its batch counts and the 10 biases of its last layer have the names and shapes of the other model's.
  const TensorFile file = to_tensor_file(used_net({.classes = 10, .seed = 1}).state(), {});
  ResNet net = resnet18({.classes = 10, .stem = Stem::cifar});
  const auto bias = values_of(net, "fc.bias");
  CHECK_THROWS_AS(load_matching_weights(file, net.state()), UsageError);
  CHECK(unexplained([&] { load_matching_weights(file, net.state(), "w.st"); },
                    {"w.st", "none of its weights fits", "44 tensors (conv1.weight, ",
                     "resnet8 with the cifar stem", "conv1.weight [64, 3, 3, 3]", "21 in all"}) == "nothing");
  CHECK(unexplained([&] { load_matching_weights(TensorFile{}, net.state()); },
                    {"nothing", "no model known"}) == "nothing");
  CHECK(values_of(net, "fc.bias") == bias);
  CHECK(net.parameter("bn1.num_batches_tracked").value.item() == 0);
}

TEST_CASE("torchvision's ResNet-18 starts one of another number of classes") {
  const ResNet thousand = resnet18({.classes = 1000, .seed = 1});  // names and shapes as in layers_resnet.cpp
  ResNet net = resnet18({.classes = 3, .seed = 2});
  const MatchedWeights matched = load_matching_weights(to_tensor_file(thousand.state(), {}), net.state());
  CHECK(matched.taken.size() == 120);
  CHECK(matched.other_shape == std::vector<std::string>{"fc.weight", "fc.bias"});
  CHECK(values_of(net, "layer4.1.conv2.weight") == values_of(thousand, "layer4.1.conv2.weight"));
}

}  // namespace lamina::tests
