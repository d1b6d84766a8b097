// Gradients that join at a tensor are added up in place where nobody else can see them, and only there.
#include <vector>

#include "core/autograd.h"
#include "core/ops/ops.h"
#include "cpu_kernels.h"

namespace lamina::tests {
namespace {

struct Block {
  Tensor x = random({2, 6, 6, 16}, 1, DType::f64).requires_grad_(),
         weight = random({16, 3, 3, 16}, 2, DType::f64).requires_grad_();

  Tensor conv(const Tensor& from) const { return conv2d(from, weight, {.padding = 1}); }
};

// Through ops whose gradients are memory of their own.
Tensor apart(const Tensor& x) { return x * 1.0; }

double distance(const Tensor& a, const Tensor& b) { return norm(a.detach() - b.detach()).item(); }

}  // namespace

TEST_CASE("a residual branch, whose gradient its sum hands to both") {
  const Block block;
  const Tensor input = apart(block.x);
  const Tensor gradient = grad(sum(square(block.conv(input) + input)), {block.x})[0];
  const Tensor expected = grad(sum(square(block.conv(apart(block.x)) + apart(block.x))), {block.x})[0];
  CHECK(distance(gradient, expected) < 1e-11);
}

TEST_CASE("two convolutions of one tensor, and what else reads it") {
  const Block block;
  const Tensor input = apart(block.x), other = random({16, 1, 1, 16}, 3, DType::f64);
  const auto loss = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
    return sum(square(block.conv(a))) + sum(square(conv2d(b, other, {}))) + sum(square(c));
  };
  const Tensor gradient = grad(loss(input, input, input), {block.x})[0];
  const Tensor expected = grad(loss(apart(block.x), apart(block.x), apart(block.x)), {block.x})[0];
  CHECK(distance(gradient, expected) < 1e-10);
}

TEST_CASE("a gradient that the caller holds stays what it was") {
  const Block block;
  const Tensor input = apart(block.x), output = block.conv(input) + input;
  const Tensor from_above = random(output.shape(), 4, DType::f64), before = from_above.clone();
  const std::vector<Tensor> gradients = grad(output, {block.x, input}, from_above, {.retain_graph = true});
  CHECK(same_bytes(from_above, before));
  CHECK(same_bytes(gradients[0], gradients[1]));
  CHECK(same_bytes(grad(output, {block.x}, from_above)[0], gradients[0]));
}

TEST_CASE("joined gradients can be differentiated again") {
  const Block block;
  const auto second = [&](const Tensor& a, const Tensor& b) {
    const Tensor first =
        grad(sum(square(square(block.conv(a)) + b)), {block.x}, {}, {.create_graph = true})[0];
    return grad(sum(square(first)), {block.x})[0];
  };
  const Tensor input = apart(block.x);
  const Tensor expected = second(apart(block.x), apart(block.x));
  CHECK(distance(second(input, input), expected) < 1e-10 * norm(expected.detach()).item());
}

}  // namespace lamina::tests
