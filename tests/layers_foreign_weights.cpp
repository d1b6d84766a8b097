// Weight files as other programs leave them.
#include "layers/foreign_weights.h"

#include <limits>

#include "catch.h"
#include "layers/linear.h"
#include "layers/resnet.h"
#include "layers/sequential.h"
#include "layers/weights.h"
#include "message_of.h"
#include "temporary_directory.h"

namespace lamina::tests {
namespace {

TensorFile tensors_of(const Module& net) { return to_tensor_file(net.state(), {}); }

TensorFile prefixed(TensorFile file, const std::string& prefix) {
  for (auto& [name, tensor] : file.tensors) name.insert(0, prefix);
  file.as_i64.clear();
  return file;
}

std::vector<float> first_weights(const ResNet& net) { return net.state().front()->value.to_vector<float>(); }

double first_count(const ResNet& net) {
  for (const auto& param : net.state())
    if (param->name == "bn1.num_batches_tracked") return param->value.item();
  return -1;
}

TensorFile with_counts(TensorFile file, const Tensor& count) {
  for (auto& [name, tensor] : file.tensors)
    if (name.ends_with("num_batches_tracked")) tensor = count;
  return file;
}

// The names that tell a ResNet of bottleneck blocks, with 3×3 convolutions of so many channels in the first.
TensorFile bottleneck_names(const std::vector<int>& blocks, std::int64_t channels, std::int64_t seen) {
  TensorFile file;
  const auto add = [&](const std::string& name, const Shape& shape) {
    file.tensors.emplace_back(name, Tensor::zeros(shape));
  };
  add("conv1.weight", {64, 3, 7, 7});
  for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
    for (int block = 0; block < blocks[stage]; ++block) {
      const std::string name = fmt::format("layer{}.{}.", stage + 1, block);
      add(name + "conv1.weight", {1, 1, 1, 1});
      add(name + "conv2.weight", {channels, seen, 3, 3});
      add(name + "conv3.weight", {1, 1, 1, 1});
    }
  }
  add("fc.weight", {1000, 2048});
  return file;
}

}  // namespace

TEST_CASE("A prefix that all names share is taken off, and said") {
  const ResNet source = resnet8({.seed = 1});
  for (const std::string prefix : {"module.", "_orig_mod.", "module._orig_mod.backbone."}) {
    INFO(prefix);
    ResNet net = resnet8({.seed = 2});
    const LoadedWeights loaded = load_weights(prefixed(tensors_of(source), prefix), net.state());
    CHECK(first_weights(net) == first_weights(source));
    CHECK(loaded.notes == std::vector<std::string>{"all names begin with " + prefix + ": taken off"});

    ResNet other = resnet8({.classes = 3, .seed = 3});
    const MatchedWeights matched = load_matching_weights(prefixed(tensors_of(source), prefix), other.state());
    CHECK(first_weights(other) == first_weights(source));
    CHECK(matched.model.model == "resnet8");
    CHECK(matched.notes == loaded.notes);

    std::vector<std::string> notes;
    CHECK(probable_model(without_shared_prefix(prefixed(tensors_of(source), prefix), notes)).model ==
          "resnet8");
    CHECK(notes == loaded.notes);
  }
}

TEST_CASE("A prefix stays where the model has it, and where what follows does not fit") {
  std::vector<std::string> notes;
  CHECK(without_shared_prefix(tensors_of(resnet8()), notes).contains("conv1.weight"));

  Sequential net;  // whose names all begin with "0."
  net.add<Linear>(2, 3);
  CHECK(load_weights(tensors_of(net), net.state()).notes.empty());
  CHECK(load_weights(prefixed(tensors_of(net), "module."), net.state()).notes ==
        std::vector<std::string>{"all names begin with module.: taken off"});
  CHECK(notes.empty());
  CHECK(unexplained([&] { load_weights(prefixed(tensors_of(net), "other"), net.state()); },
                    {"are missing (0.weight, 0.bias)", "are unexpected (other0.weight"}) == "nothing");
}

TEST_CASE("Batch counts of any type are read if they are whole numbers") {
  const TensorFile file = tensors_of(resnet8({.seed = 1}));
  ResNet net = resnet8({.seed = 2});
  for (const Tensor& count : {Tensor::full({}, 3), Tensor::full({1}, 3, {.dtype = DType::f64}),
                              Tensor::full({}, 3, {.dtype = DType::i32})}) {
    load_weights(with_counts(file, count), net.state());
    CHECK(first_count(net) == 3);
  }
  const auto before = first_weights(net);
  for (const double wrong : {2.5, -1.0, 1e10, std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(unexplained(
              [&] {
                load_weights(with_counts(tensors_of(resnet8({.seed = 4})),
                                         Tensor::full({}, wrong, {.dtype = DType::f64})),
                             net.state(), true, "w.st");
              },
              {"w.st: bn1.num_batches_tracked is ", "expected a whole number"}) == "nothing");
  }
  CHECK(first_weights(net) == before);
}

TEST_CASE("Another program's words in the metadata are ignored, and noted") {
  std::vector<std::string> notes;
  const WeightInfo info = info_from_metadata(
      {{"classes", "2"}, {"mean", "imagenet"}, {"std", "[\"a\"]"}, {"format", "pt"}}, &notes);
  CHECK((info.classes.empty() && info.mean.empty() && info.std.empty()));
  CHECK(notes ==
        std::vector<std::string>{"\"classes\" in the metadata is \"2\", not a list of names: ignored",
                                 "\"mean\" in the metadata is \"imagenet\", not a list of numbers: ignored",
                                 "\"std\" in the metadata is \"[\"a\"]\", not a list of numbers: ignored"});
  CHECK(info_from_metadata({{"classes", std::string(100, 'x')}}).classes.empty());
  // No float: it would be infinite.
  std::vector<std::string> large;
  CHECK(info_from_metadata({{"mean", "[0.5,2e92]"}}, &large).mean.empty());
  CHECK(large == std::vector<std::string>{
                     "\"mean\" in the metadata is \"[0.5,2e92]\", not a list of numbers: ignored"});
}

TEST_CASE("ResNets that are not here are named") {
  const auto name = [](const std::vector<int>& blocks, std::int64_t channels, std::int64_t seen) {
    return probable_model(bottleneck_names(blocks, channels, seen)).other;
  };
  CHECK(name({3, 4, 23, 3}, 64, 64) == "resnet101");
  CHECK(name({3, 8, 36, 3}, 64, 64) == "resnet152");
  CHECK(name({3, 4, 6, 3}, 128, 128) == "wide_resnet50_2");
  CHECK(name({3, 4, 6, 3}, 128, 4) == "resnext50_32x4d");
  CHECK(name({3, 4, 23, 3}, 256, 8) == "resnext101_32x8d");
  CHECK(name({3, 4, 6, 3}, 64, 64).empty());
  CHECK(probable_model(bottleneck_names({3, 4, 6, 3}, 64, 64)).model == "resnet50");
  CHECK(probable_model(bottleneck_names({3, 4, 6, 3}, 128, 4)).str() ==
        "resnext50_32x4d, which is not among the models here");
}

TEST_CASE("Weights that are not finite are told by name") {
  TensorFile file;
  file.tensors = {{"count", Tensor::full({}, 3, {.dtype = DType::i32})}, {"good", Tensor::full({2}, 1)}};
  CHECK(message_of([&] { check_finite(file, "w.st"); }) == "(no error)");
  file.tensors.emplace_back("bad", Tensor::from<float>({1, std::numeric_limits<float>::infinity()}, {2}));
  CHECK(unexplained([&] { check_finite(file, "w.st"); }, {"w.st: bad holds values that are not finite"}) ==
        "nothing");
}

TEST_CASE("Weights are not saved into a folder that is missing, which is named") {
  const Directory directory;
  const std::string folder = directory.file("missing");
  CHECK(unexplained([&] { save_weights(folder + "/w.safetensors", resnet8()); },
                    {"w.safetensors: there is no folder ", "/missing; make it first"}) == "nothing");
}

}  // namespace lamina::tests
