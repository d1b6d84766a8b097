// Dropout: its masks, and that they go on where a file was written.
#include "layers/dropout.h"

#include <algorithm>

#include "catch.h"
#include "core/ops/reduce.h"
#include "core/random.h"
#include "layers/sequential.h"
#include "layers/summary.h"
#include "layers/weights.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

// Of ones: the mask itself.
std::vector<float> mask_of(Module& layer, std::int64_t elements = 10000) {
  return layer(Tensor::full({elements}, 1)).to_vector<float>();
}

Sequential two_of(std::uint64_t seed) {
  Sequential net;
  net.add<Dropout>(0.5, DropoutLayerOptions{.seed = seed});
  net.add<Dropout>(0.5, DropoutLayerOptions{.seed = seed});
  return net;
}

}  // namespace

TEST_CASE("Dropout zeroes a share of the elements and scales the others") {
  Dropout layer(0.2, {.seed = 1});
  CHECK(layer.kind() == "Dropout 0.2");
  const auto mask = mask_of(layer);
  const auto zeros = std::count(mask.begin(), mask.end(), 0.0f);
  CHECK(zeros > 1800);  // 2000 +- 5 of the binomial's deviations of 40
  CHECK(zeros < 2200);
  for (const float value : mask) CHECK((value == 0 || value == 1.25f));

  CHECK(mask_of(layer) != mask);
  CHECK(layer.parameter("num_masks").value.item() == 2);
  Dropout again(0.2, {.seed = 1}), other(0.2, {.seed = 2});
  CHECK(mask_of(again) == mask);
  CHECK(mask_of(other) != mask);

  layer.eval();
  CHECK(mask_of(layer) == std::vector<float>(10000, 1));
  CHECK(layer.parameter("num_masks").value.item() == 2);
  CHECK(unexplained([] { Dropout(1.5); }, {"Dropout", "1.5"}) == "nothing");
}

TEST_CASE("the gradient of Dropout goes through its mask") {
  Dropout layer(0.5, {.seed = 1});
  Tensor x = Tensor::full({100}, 1, {.dtype = DType::f64});
  x.requires_grad_();
  const Tensor y = layer(x);
  sum(y).backward();
  CHECK(x.grad().to_vector<double>() == y.to_vector<double>());
}

TEST_CASE("two Dropouts of a net have masks of their own") {
  Sequential net = two_of(1);
  CHECK(mask_of(*net.children()[0]) != mask_of(*net.children()[1]));
  const std::uint64_t before = seed();
  seed(5);
  Dropout layer, same(0.5, {.seed = 5});
  seed(before);
  CHECK(mask_of(layer) == mask_of(same));
}

TEST_CASE("a loaded net draws the masks that the saved one would have drawn") {
  Sequential net = two_of(1), loaded = two_of(1);
  mask_of(net), mask_of(net);
  const TensorFile file = to_tensor_file(net.state(), {});
  CHECK(file.contains("1.num_masks"));
  load_weights(file, loaded.state());
  CHECK(mask_of(loaded) == mask_of(net));
  load_weights(TensorFile{}, loaded.state());  // as one of PyTorch, which has no such tensors
  Sequential fresh = two_of(1);
  CHECK(mask_of(loaded) == mask_of(fresh));
  CHECK(summary(net, {1, 4}).layers.at(1).kind == "Dropout 0.5");
  CHECK(net.parameter("0.num_masks").value.item() == 3);
}

}  // namespace lamina::tests
