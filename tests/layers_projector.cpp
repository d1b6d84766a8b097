// Projectors, alone and behind a backbone.
#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "layers/layers.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const auto& param : module.parameters()) names.push_back(param->name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a projector is numbered as PyTorch's Sequential of its layers") {
  CHECK(names_of(Projector(4, {.widths = {8, 8, 3}})) ==
        Names{"0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias", "6.weight"});
  CHECK(names_of(Projector(
            4, {.widths = {8, 3}, .hidden_bias = true, .last_bias = true, .hidden_batch_norm = false})) ==
        Names{"0.weight", "0.bias", "2.weight", "2.bias"});
  CHECK(names_of(Projector(4, {.widths = {8, 3}, .last_batch_norm = true})) ==
        Names{"0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias"});
  CHECK(names_of(Projector(4, {.widths = {3}})) == Names{"0.weight"});
  using Widths = std::vector<int>;
  for (const Widths& widths : {Widths{}, Widths{8, 0, 3}, Widths{-1}}) {
    CHECK_THROWS_AS(Projector(4, {.widths = widths}), UsageError);
    CHECK(unexplained([&] { Projector(4, {.widths = widths}); },
                      {"projector", widths.size() == 3 ? "8,0,3" : "", "1 or more"}) == "nothing");
  }
}

TEST_CASE("a projector computes linear, batch norm, ReLU, linear") {
  Projector projector(4, {.widths = {8, 3}, .hidden_bias = true, .tensor = {.dtype = DType::f64}});
  initialise(projector, {}, 3);
  const Tensor x = Tensor::randn({5, 4}, {.dtype = DType::f64, .seed = 3});
  const auto value = [&](const char* name) { return projector.parameter(name).value.detach(); };
  const Tensor h = linear(x, value("0.weight"), value("0.bias"));
  const Tensor normalised = (h - mean(h, 0)) * reciprocal(sqrt(var(h, 0, {.correction = 0}) + 1e-5));
  const Tensor expected = linear(relu(normalised), value("3.weight"));
  const Tensor z = projector(x);
  CHECK(norm(z - expected).item() < 1e-14);
}

TEST_CASE("a ResNet with a projector is its backbone with projector.* behind") {
  const ProjectorOptions projector{.widths = {16, 8}};
  ResNet net = resnet8({.head = false, .projector = projector, .seed = 3}),
         backbone = resnet8({.head = false, .seed = 3});
  Names expected = names_of(backbone);
  for (const char* name : {"0.weight", "1.weight", "1.bias", "3.weight"})
    expected.push_back(std::string("projector.") + name);
  CHECK(names_of(net) == expected);
  const Tensor images = Tensor::randn({2, 8, 8, 3}, {.seed = 3});
  const NoGrad no_grad;
  const EvalMode mode(net), backbone_mode(backbone);
  CHECK(net(images).shape() == Shape{2, 8});
  CHECK(net.features(images).to_vector<float>() == backbone(images).to_vector<float>());
  ResNet copy = net.clone();
  CHECK(copy(images).to_vector<float>() == net(images).to_vector<float>());

  const TensorFile file = to_tensor_file(net.state(), {});
  CHECK(probable_model(file).model == "resnet8");
  CHECK(probable_model(file).classes == 0);
  CHECK(load_matching_weights(file, backbone.state()).missing.empty());

  copy.reset_head(5);
  CHECK(copy(images).shape() == Shape{2, 5});
  CHECK(names_of(copy).back() == "fc.bias");
  CHECK(names_of(copy).size() == names_of(backbone).size() + 2);
  CHECK(unexplained([&] { resnet8({.projector = projector}); }, {"resnet8", "head = false"}) == "nothing");
  CHECK(unexplained([&] { resnet8({.head = false, .projector = ProjectorOptions{.widths = {0}}}); },
                    {"projector 0"}) == "nothing");
}

}  // namespace lamina::tests
