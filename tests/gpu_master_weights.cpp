// bf16 copies of f32 parameters that are rounded together: the bits of copies made one by one, and none that
// is out of date.
#include <cstdint>

#include "bf16_tensors.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/master_weights.h"
#include "layers/resnet.h"

namespace lamina::tests {
namespace {

// Two layers in bf16, with biases, on numbers that are not bf16's.
struct NarrowNet {
  Conv2d conv{3, 5, 3, {.padding = 1, .bias = true, .tensor = {.device = Device::cuda()}}};
  Linear linear{5, 7, {.tensor = {.device = Device::cuda()}}};
  Tensor x = to_bf16(draw_exact({2, 4, 4, 3}, 9));

  NarrowNet() {
    std::uint32_t draw = 0;
    for (const auto& param : parameters()) {
      const Tensor values = Tensor::randn(param->value.shape(), {.seed = 3, .draw = draw++});
      param->value.copy_from(values.to(Device::cuda()));
    }
  }
  ParamList parameters() const {
    ParamList list = conv.parameters();
    for (const auto& param : linear.parameters()) list.push_back(param);
    return list;
  }
  std::vector<Tensor> values() const {
    std::vector<Tensor> list;
    for (const auto& param : parameters()) list.push_back(param->value);
    return list;
  }
  Tensor output() { return linear(relu(conv(x))); }
  Tensor loss() { return mean(square(cast(output(), DType::f32))); }
};

// What `make` gives while the net's parameters are rounded together, and without.
template <typename Make>
void check_same(const Make& make) {
  NarrowNet net;
  const std::vector<Tensor> expected = make(net);
  const RoundedParameters rounded(net.parameters());
  const std::vector<Tensor> found = make(net);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO(i << " " << found[i].str());
    CHECK(same_bits(found[i], expected[i]));
  }
}

}  // namespace

TEST_CASE("many tensors are cast at once, with the bits of one by one", "[cuda][bf16]") {
  const Tensor block = draw_exact({3000}, 1).to(Device::cuda());
  const Tensor third = Tensor::full({3000}, 1.0 / 3, {.device = Device::cuda()});  // of which bf16 has half
  std::vector<Tensor> xs;
  for (std::int64_t i = 0; i < 200; ++i) {  // more than one kernel takes; sizes 0 to 12; some not aligned
    const std::int64_t first = i % 10 == 7 ? i + 1 : 4 * i;
    xs.push_back((i % 2 == 0 ? block : third).flat(first, {i % 13}));
  }
  xs.push_back(to_bf16(draw_exact({5}, 2)));
  xs.push_back(Tensor::from({1, -2, 3}, {3}, Device::cuda()));
  xs.push_back(Tensor::from({not_a_number, HUGE_VALF, -HUGE_VALF, 1.0f, -0.0f}, {5}, Device::cuda()));
  const std::vector<Tensor> found = cast_all(xs, DType::bf16);
  REQUIRE(found.size() == xs.size());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    INFO(i << " " << xs[i].str());
    const Tensor expected = cast(xs[i], DType::bf16);
    CHECK(nan_mask(found[i]) == nan_mask(expected));
    if (i + 1 < xs.size()) CHECK(same_bits(found[i], expected));
  }
  CHECK(found[200].shares_storage(xs[200]));
  CHECK(cast_all({}, DType::bf16).empty());
}

TEST_CASE("parameters that are rounded together give the bits of those rounded one by one", "[cuda][bf16]") {
  check_same([](NarrowNet& net) { return std::vector{net.output()}; });
  check_same([](NarrowNet& net) {
    const NoGrad no_grad;
    return std::vector{net.output()};
  });
  check_same([](NarrowNet& net) {  // gradients that are added to those there are
    for (Tensor value : net.values()) value.bind_grad(Tensor::full(value.shape(), 0.1, value.options()));
    net.loss().backward();
    std::vector<Tensor> gradients;
    for (const Tensor& value : net.values()) gradients.push_back(value.grad().clone());
    return gradients;
  });
  check_same([](NarrowNet& net) {  // Hessian products
    const std::vector<Tensor> gradients = grad(net.loss(), net.values(), {}, {.create_graph = true});
    Tensor sum_of_squares = sum(square(gradients[0]));
    for (std::size_t i = 1; i < gradients.size(); ++i)
      sum_of_squares = sum_of_squares + sum(square(gradients[i]));
    return grad(sum_of_squares, net.values());
  });
}

TEST_CASE("a parameter that was overwritten is rounded anew", "[cuda][bf16]") {
  NarrowNet net;
  const RoundedParameters rounded(net.parameters());
  const Tensor before = net.output();
  CHECK(rounded.copy_of(net.values()[0]).defined());
  for (const auto& param : net.parameters()) {
    Tensor value = param->value;
    value.fill(0.75);
    CHECK_FALSE(rounded.copy_of(value).defined());
  }
  const Tensor after = net.output();
  CHECK_FALSE(same_bits(after, before));
  const RoundedParameters again(net.parameters());
  CHECK(same_bits(net.output(), after));
}

TEST_CASE("every pass of a ResNet in bf16 is of the weights as they then are", "[cuda][bf16]") {
  ResNet net("resnet8", {.device = Device::cuda(), .activations = DType::bf16, .seed = 1});
  const Tensor images = draw_exact({2, 8, 8, 3}, 4).to(Device::cuda());
  net.eval();  // or running statistics would move
  const Tensor before = net(images);
  CHECK(same_bits(net(images), before));
  for (const auto& param : net.parameters())
    if (param->kind == ParamKind::weight) param->value.copy_from(param->value.detach() * 0.7);
  const Tensor after = net(images);
  CHECK_FALSE(same_bits(after, before));
  CHECK(same_bits(net.clone()(images), after));
}

TEST_CASE("copies end with their scope, and those around it are taken again", "[cuda][bf16]") {
  NarrowNet net, other;
  const Tensor value = net.values()[0], x = net.x;
  const auto is_copy = [&](const RoundedParameters& of) {
    return as_used_with(x, value).shares_storage(of.copy_of(value));
  };
  {
    const RoundedParameters outer(net.parameters());
    CHECK(is_copy(outer));
    {
      const RoundedParameters inner(net.parameters());
      CHECK(is_copy(inner));
      const RoundedParameters of_others(other.parameters());
      CHECK_FALSE(of_others.copy_of(value).defined());
      CHECK_FALSE(is_copy(inner));
    }
    CHECK(is_copy(outer));
    CHECK(as_used_with(Tensor::zeros({1}), value).shares_storage(value));
  }
  const Tensor rounded = as_used_with(x, value);
  CHECK_FALSE(as_used_with(x, value).shares_storage(rounded));
}

TEST_CASE("copies without a history are not taken where one is recorded, nor the other way round",
          "[cuda][bf16]") {
  NarrowNet net;
  const auto gradient = [&] { return grad(net.loss(), net.values())[0]; };
  const Tensor expected = gradient();
  {
    const GradMode off(false);
    const RoundedParameters rounded(net.parameters());
    CHECK(rounded.copy_of(net.values()[0]).defined());
    const GradMode on(true);
    CHECK_FALSE(rounded.copy_of(net.values()[0]).defined());
    CHECK(same_bits(gradient(), expected));
  }
  const RoundedParameters rounded(net.parameters());
  net.conv.parameter("weight").set_frozen(true);
  CHECK_FALSE(rounded.copy_of(net.conv.parameter("weight").value).defined());
}

}  // namespace lamina::tests
