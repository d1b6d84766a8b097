// What an op can make again is not kept for the backward pass: batch_norm's output on the CPU.
#include <functional>
#include <vector>

#include "core/autograd.h"
#include "core/ops/ops.h"
#include "cpu_kernels.h"

namespace lamina::tests {
namespace {

struct Layers {
  Tensor x = random({4, 8, 8, 16}, 1), weight = random({16, 3, 3, 16}, 2).requires_grad_();
  BatchNormParams params{random({16}, 3).requires_grad_(), random({16}, 4).requires_grad_(),
                         Tensor::zeros({16}), Tensor::full({16}, 1)};

  Tensor normalised() const { return batch_norm(conv2d(x, weight, {.padding = 1}), params, {.relu = true}); }
  Tensor output(const Tensor& y) const { return sum(square(conv2d(y, weight, {.padding = 1}))); }
  std::vector<Tensor> gradients(const Tensor& loss, GradOptions options = {}) const {
    return grad(loss, {weight, params.weight, params.bias}, {}, options);
  }
};

// Two blocks: y₁ = relu(bn(conv(y₀)) + y₀), y₂ = relu(bn(conv(y₁)) + y₁).
struct Blocks : Layers {
  Tensor block(const Tensor& y, bool residual_is_kept) const {
    return batch_norm(conv2d(y, weight, {.padding = 1}), params,
                      {.relu = true, .residual_is_kept = residual_is_kept}, y);
  }
  Tensor loss(bool residual_is_kept) const {
    const Tensor start = x * 1.0;
    return output(block(block(start, residual_is_kept), residual_is_kept));
  }
};

double held_bytes() { return static_cast<double>(cpu_backend().allocator().use().live_bytes); }

}  // namespace

TEST_CASE("a convolution does not hold the output of the batch norm before it") {
  const Layers layers;
  const double before = held_bytes();
  Tensor y = layers.normalised();
  const Tensor z = conv2d(y, layers.weight, {.padding = 1});
  const double with_y = held_bytes(), size = static_cast<double>(layers.x.bytes());
  y = {};
  CHECK(with_y - held_bytes() >= size);
  CHECK(held_bytes() - before < 2.5 * size);  // conv, conv, channels
}

TEST_CASE("of two blocks whose residuals are kept one keeps its output") {
  const Blocks blocks;
  const double before = held_bytes(), size = static_cast<double>(blocks.x.bytes());
  const Tensor keeping = blocks.loss(false);
  const double with_both = held_bytes() - before;
  const Tensor making = blocks.loss(true);
  CHECK(with_both - (held_bytes() - before - with_both) == Approx(size));
}

TEST_CASE("gradients of blocks that make their outputs again are those of blocks that keep them") {
  const Blocks blocks;
  const auto first = [&](bool kept) { return blocks.gradients(blocks.loss(kept)); };
  const auto second = [&](bool kept) {
    const Tensor of_weight = blocks.gradients(blocks.loss(kept), {.create_graph = true})[0];
    return blocks.gradients(sum(square(of_weight)));
  };
  const auto twice = [&](bool kept) {
    const Tensor loss = blocks.loss(kept);
    blocks.gradients(loss, {.retain_graph = true});
    return blocks.gradients(loss);
  };
  for (const auto& gradients : {std::function(first), std::function(second), std::function(twice)}) {
    const std::vector<Tensor> made = gradients(true), expected = gradients(false);
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bytes(made[i], expected[i]));
  }
}

// Composed of ops that keep what they read.
TEST_CASE("gradients through what is made again are those through what was kept") {
  const Layers layers;
  const std::vector<Tensor> again = layers.gradients(layers.output(layers.normalised()));
  const Tensor kept = layers.normalised() * 1.0;
  const std::vector<Tensor> expected = layers.gradients(layers.output(kept));
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bytes(again[i], expected[i]));
}

TEST_CASE("what is made again is made as it was, whatever became of it") {
  const Layers layers;
  const std::vector<Tensor> expected = layers.gradients(layers.output(layers.normalised()));
  const Tensor y = layers.normalised();
  const Tensor loss = layers.output(y);
  y.detach().fill(7);
  const std::vector<Tensor> gradients = layers.gradients(loss);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bytes(gradients[i], expected[i]));
}

TEST_CASE("an overwritten parameter stops what would be made from it") {
  const Layers layers;
  const Tensor loss = layers.output(layers.normalised());
  layers.params.weight.detach().fill(2);
  CHECK_THROWS_WITH(layers.gradients(loss),
                    Catch::Contains("which \"batch_norm\" had saved, has been overwritten"));
}

TEST_CASE("what is made again may be asked for after the pass through its op") {
  const Layers layers;
  const Tensor y = layers.normalised(), head = random({16, 3, 3, 16}, 5).requires_grad_();
  const Tensor first = layers.output(y), second = sum(conv2d(y, head, {.padding = 1}));
  const Tensor expected = grad(sum(conv2d(y.detach(), head, {.padding = 1})), {head})[0];
  first.backward();
  CHECK(same_bytes(grad(second, {head})[0], expected));
}

TEST_CASE("second derivatives go through what is made again") {
  const Layers layers;
  const auto second = [&](const Tensor& y) {
    const Tensor of_weight = layers.gradients(layers.output(y), {.create_graph = true})[0];
    return layers.gradients(sum(square(of_weight)));
  };
  const std::vector<Tensor> again = second(layers.normalised()), expected = second(layers.normalised() * 1.0);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bytes(again[i], expected[i]));
}

}  // namespace lamina::tests
