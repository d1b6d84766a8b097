// Structure of the ResNets: names, counts, shapes, shortcuts; Module's own rules.
#include "layers/resnet.h"

#include <numeric>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/elementwise.h"
#include "core/ops/loss.h"
#include "core/ops/reduce.h"
#include "layers/summary.h"
#include "message_of.h"

using namespace lamina;
using lamina::tests::unexplained;

namespace {

std::int64_t count(const ParamList& list) {
  return std::accumulate(list.begin(), list.end(), std::int64_t{0},
                         [](std::int64_t sum, const auto& param) { return sum + param->value.elements(); });
}

// torchvision's state_dict keys, written as the rule they follow.
void add_norm(std::vector<std::string>& names, const std::string& norm) {
  for (const char* part : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}) {
    names.push_back(norm + "." + part);
  }
}

void add_conv_norm(std::vector<std::string>& names, const std::string& prefix, const std::string& number) {
  names.push_back(prefix + "conv" + number + ".weight");
  add_norm(names, prefix + "bn" + number);
}

std::vector<std::string> torchvision_names(const std::vector<int>& blocks, bool bottleneck) {
  std::vector<std::string> names;
  add_conv_norm(names, "", "1");
  for (std::size_t stage = 1; stage <= blocks.size(); ++stage) {
    for (int block = 0; block < blocks[stage - 1]; ++block) {
      const std::string prefix = "layer" + std::to_string(stage) + "." + std::to_string(block) + ".";
      for (int conv = 1; conv <= (bottleneck ? 3 : 2); ++conv)
        add_conv_norm(names, prefix, std::to_string(conv));
      if (block == 0 && (stage > 1 || bottleneck)) {
        names.push_back(prefix + "downsample.0.weight");
        add_norm(names, prefix + "downsample.1");
      }
    }
  }
  names.insert(names.end(), {"fc.weight", "fc.bias"});
  return names;
}

std::vector<std::string> names_of(const ParamList& list) {
  std::vector<std::string> names;
  for (const auto& param : list) names.push_back(param->name);
  return names;
}

}  // namespace

TEST_CASE("ResNet-18, 34 and 50 have torchvision's names, order, sizes and cost") {
  struct Expected {  // torchvision 0.15: len(state_dict()), documented parameters and (Mult-Adds) GFLOPS
    const char* model;
    std::vector<int> blocks;
    bool bottleneck;
    std::size_t tensors;
    std::int64_t parameters, multiply_adds;
  };
  const std::vector<Expected> table = {{"resnet18", {2, 2, 2, 2}, false, 122, 11'689'512, 1'814'073'344},
                                       {"resnet34", {3, 4, 6, 3}, false, 218, 21'797'672, 3'663'761'408},
                                       {"resnet50", {3, 4, 6, 3}, true, 320, 25'557'032, 4'089'184'256}};
  for (const Expected& expected : table) {
    INFO(expected.model);
    ResNet net = resnet(expected.model, {.classes = 1000});
    CHECK(names_of(net.state()) == torchvision_names(expected.blocks, expected.bottleneck));
    CHECK(net.state().size() == expected.tensors);
    CHECK(count(net.parameters()) == expected.parameters);
    if (!expected.bottleneck) continue;  // one pass at full size is enough
    CHECK(summary(net, {1, 224, 224, 3}).multiply_adds == expected.multiply_adds);
  }
}

TEST_CASE("The ResNets for CIFAR have the paper's sizes") {
  // He et al. 2016, table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M.
  CHECK(count(resnet20().parameters()) == 269'722);
  CHECK(count(resnet32().parameters()) == 464'154);
  CHECK(count(resnet44().parameters()) == 658'586);
  CHECK(count(resnet56().parameters()) == 853'018);
  CHECK(count(resnet110().parameters()) == 1'727'962);
  const ResNet b = resnet20({.classes = 100, .shortcut = Shortcut::B});
  CHECK(count(b.parameters()) == 278'324);
  CHECK(names_of(b.state()) == torchvision_names({3, 3, 3}, false));
}

TEST_CASE("ResNet output shapes") {
  const NoGrad no_grad;
  const Tensor images = Tensor::zeros({2, 32, 32, 3});
  for (const char* name : {"resnet8", "resnet20"}) {
    for (const Shortcut shortcut : {Shortcut::A, Shortcut::B}) {
      ResNet net = resnet(name, {.classes = 7, .shortcut = shortcut});
      CHECK(net(images).shape() == Shape{2, 7});
      CHECK(net.features(images).shape() == Shape{2, 64});
    }
  }
  ResNet net = resnet50({.classes = 5, .channels = 1, .stem = Stem::cifar, .shortcut = Shortcut::A});
  CHECK(net.feature_size() == 2048);
  CHECK(net(Tensor::zeros({1, 15, 17, 1})).shape() == Shape{1, 5});
  CHECK_THROWS_AS(net(images), Error);  // 3 channels instead of 1
}

TEST_CASE("Unknown names list the valid ones") {
  CHECK_THROWS_AS(resnet("resnet21"), UsageError);
  CHECK(unexplained([] { resnet("resnet21"); }, {"resnet21", "resnet20", "resnet50"}) == "nothing");
  CHECK_THROWS_AS(resnet20({.stem = Stem::imagenet}), UsageError);
  CHECK_THROWS_AS(resnet20({.classes = 0}), UsageError);
  CHECK_THROWS_AS(parse_stem("cifar10"), UsageError);
  CHECK_THROWS_AS(parse_shortcut("C"), UsageError);
  CHECK(unexplained([] { parse_init("he"); }, {"kaiming_normal", "xavier_uniform"}) == "nothing");
}

TEST_CASE("Shortcut A passes every second pixel between zero channels") {
  ResNet net = resnet8({.dtype = DType::f64});
  for (const auto& param : net.parameters()) {
    if (param->name.find("layer2.0.bn2") == 0) param->value.fill(0);  // F(x) = 0: the block is its shortcut
  }
  net.eval();
  const NoGrad no_grad;
  std::vector<double> values(4 * 4 * 16);
  std::iota(values.begin(), values.end(), 1.0);
  Module& block = *net.children()[3]->children()[0];
  REQUIRE(block.path() == "layer2.0");
  const Tensor y = block(Tensor::from(values, {1, 4, 4, 16}));
  REQUIRE(y.shape() == Shape{1, 2, 2, 32});
  const auto out = y.to_vector<double>();
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t w = 0; w < 2; ++w) {
      for (std::size_t c = 0; c < 32; ++c) {
        const bool padded = c < 8 || c >= 24;
        const double expected = padded ? 0 : values[((2 * h) * 4 + 2 * w) * 16 + (c - 8)];
        CHECK(out[(h * 2 + w) * 32 + c] == expected);
      }
    }
  }
}

TEST_CASE("zero_init_residual starts every block as its shortcut") {
  ResNet net = resnet14({.zero_init_residual = true});
  int zeroed = 0;
  for (const auto& param : net.parameters()) {
    if (param->name.ends_with(".bn2.weight")) zeroed += sum(square(param->value)).item() == 0 ? 1 : 0;
  }
  CHECK(zeroed == 6);
}

TEST_CASE("Batch norm counts training passes only, and evaluation leaves the state alone") {
  ResNet net = resnet8();
  const Tensor images = Tensor::full({2, 8, 8, 3}, 0.5);
  const NoGrad no_grad;
  net(images);
  net(images);
  const auto state = net.state();
  const auto find = [&](const std::string& name) -> const Tensor& {
    for (const auto& param : state) {
      if (param->name == name) return param->value;
    }
    FAIL(name);
    return state.front()->value;
  };
  CHECK(find("bn1.num_batches_tracked").item() == 2);
  CHECK(find("layer3.0.bn2.num_batches_tracked").item() == 2);
  const auto before = find("layer3.0.bn2.running_var").to_vector<float>();
  {
    const EvalMode eval_mode(net);
    net(images);
    summary(net, {1, 8, 8, 3});
  }
  CHECK(net.training());
  CHECK(find("bn1.num_batches_tracked").item() == 2);
  CHECK(find("layer3.0.bn2.running_var").to_vector<float>() == before);
}

TEST_CASE("EvalMode restores modules that were frozen before") {
  ResNet net = resnet8();
  net.children()[1]->eval();
  {
    const EvalMode outer(net);
    CHECK_FALSE(net.training());
  }
  CHECK(net.training());
  CHECK_FALSE(net.children()[1]->training());
  CHECK(net.children()[2]->children()[0]->training());
}

TEST_CASE("A moved ResNet computes the same, and its optimizer's parameters stay its own") {
  const NoGrad no_grad;
  ResNet first = resnet8({.seed = 3});
  const ParamList params = first.parameters();
  const Tensor images = Tensor::full({1, 8, 8, 3}, 0.25);
  first.eval();
  const auto before = first(images).to_vector<float>();
  ResNet second = std::move(first);
  CHECK(second(images).to_vector<float>() == before);
  ResNet third = resnet8({.seed = 4});
  third = std::move(second);
  CHECK(third(images).to_vector<float>() == before);

  // An optimizer replaces the value by a view of its arena; forward must read that.
  Tensor replaced = Tensor::zeros_like(params.back()->value);
  replaced.fill(100);
  params.back()->value = replaced;  // fc.bias
  CHECK(third(images).to_vector<float>()[0] > before[0] + 50);
}

TEST_CASE("Errors in a model name the module") {
  ResNet net = resnet8();
  net.parameters()[3]->value.fill(std::numeric_limits<double>::quiet_NaN());
  REQUIRE(net.parameters()[3]->name == "layer1.0.conv1.weight");
  const FiniteCheck finite;
  CHECK(unexplained([&] { net(Tensor::full({1, 8, 8, 3}, 1)); }, {"layer1.0.conv1"}) == "nothing");
}

TEST_CASE("Modules refuse a name twice, and prefix parts that come later") {
  Sequential net;
  auto& inner = net.add<Sequential>();
  inner.add<Linear>(2, 3);
  CHECK(names_of(net.state()) == std::vector<std::string>{"0.0.weight", "0.0.bias"});

  class Twice : public Module {
   public:
    Twice() {
      add_child<Linear>("part", 1, 1);
      add_child<Linear>("part", 1, 1);
    }
    std::string kind() const override { return "Twice"; }

   private:
    Tensor forward(const Tensor& x) override { return x; }
  };
  CHECK(unexplained([] { Twice(); }, {"part"}) == "nothing");
}

TEST_CASE("Weights are NaN until they are initialised or loaded") {
  Linear layer(3, 2);
  CHECK(std::isnan(layer.parameters()[0]->value.to_vector<float>()[0]));
  initialise(layer);
  CHECK(std::isfinite(layer.parameters()[0]->value.to_vector<float>()[0]));
}

TEST_CASE("Layers with a bias add it") {
  const NoGrad no_grad;
  Conv2d conv(1, 2, 1, {.bias = true});
  conv.parameters()[0]->value.fill(2);
  conv.parameters()[1]->value.copy_from(Tensor::from<float>({1, -1}, {2}));
  CHECK(conv(Tensor::full({1, 1, 1, 1}, 3)).to_vector<float>() == std::vector<float>{7, 5});
}

TEST_CASE("summary counts parameters and multiply-adds") {
  ResNet net = resnet18({.stem = Stem::cifar});
  const ModelSummary table = summary(net, {2, 32, 32, 3});
  CHECK(table.parameters == 11'173'962);
  CHECK(table.multiply_adds == 555'422'720);  // 0.56 G, the figure usually quoted for 32x32
  CHECK(table.layers.front().name == "conv1");
  CHECK(table.layers.front().output == Shape{2, 32, 32, 64});
  CHECK(table.layers.front().multiply_adds == 32 * 32 * 64 * 27);
  CHECK(table.layers.back().name == "fc");
  for (const char* part : {"layer4.1.conv2", "11,173,962", "Conv2d 64 -> 128, 3x3 / 2"}) {
    CHECK(table.str().find(part) != std::string::npos);
  }
}
