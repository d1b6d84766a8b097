// Ops with several outputs: their backward function takes all gradients together.
#include "catch.h"
#include "core/joint_op.h"
#include "core/ops/ops.h"
#include "leaf.h"

namespace lamina::tests {
namespace {

struct Calls {
  int count = 0;
  std::vector<bool> defined;  // of the outputs' gradients, in the last one
};

// x², x³ and nothing.
std::vector<Tensor> powers(const Tensor& x, Calls& calls) {
  const Tensor plain = x.detach();
  return record_joint("powers", {square(plain), plain * square(plain), {}}, {x},
                      [saved = Saved(x), &calls](std::span<const Tensor> to, Grads& grads) {
                        ++calls.count;
                        calls.defined = {to[0].defined(), to[1].defined(), to[2].defined()};
                        const Tensor& at = grads.get(saved);
                        Tensor sum = Tensor::zeros_like(at);
                        if (to[0].defined()) sum = sum + 2 * at * to[0];
                        if (to[1].defined()) sum = sum + 3 * square(at) * to[1];
                        grads.set(0, sum);
                      });
}

}  // namespace

TEST_CASE("an op's outputs hand their gradients over together, once") {
  Calls calls;
  const Tensor x = leaf({2, -1});
  const std::vector<Tensor> y = powers(x, calls);
  CHECK(values_of(y[0]) == Values{4, 1});
  CHECK(values_of(y[1]) == Values{8, -1});
  CHECK(!y[2].defined());
  CHECK(values_of(grad(sum(y[0] * y[1]), {x})[0]) == Values{5 * 16, 5});  // (x⁵)'
  CHECK(calls.count == 1);
  CHECK(calls.defined == std::vector<bool>{true, true, false});
}

TEST_CASE("an output that nothing came of has no gradient, in a later pass neither") {
  Calls calls;
  const Tensor x = leaf({2, -1});
  const std::vector<Tensor> y = powers(x, calls);
  const GradOptions keep{.retain_graph = true};
  grad(sum(y[0] + y[1]), {x}, {}, keep);
  CHECK(values_of(grad(sum(y[1]), {x}, {}, keep)[0]) == Values{12, 3});
  CHECK(calls.defined == std::vector<bool>{false, true, false});
  CHECK(values_of(grad(sum(y[0]), {x}, {}, keep)[0]) == Values{4, -2});
  CHECK(calls.defined == std::vector<bool>{true, false, false});
}

TEST_CASE("the gradient of an op with several outputs can be differentiated") {
  Calls calls;
  const Tensor x = leaf({2, -1});
  const std::vector<Tensor> y = powers(x, calls);
  const Tensor first = grad(sum(y[0] * y[1]), {x}, {}, {.create_graph = true})[0];
  const Tensor second = grad(sum(first), {x}, {}, {.create_graph = true})[0];
  CHECK(values_of(second) == Values{20 * 8, -20});
  CHECK(values_of(grad(sum(second), {x})[0]) == Values{60 * 4, 60});
}

TEST_CASE("an op with several outputs records nothing where nothing is asked for") {
  Calls calls;
  const NoGrad no_grad;
  for (const Tensor& y : powers(leaf({2}), calls)) CHECK((!y.defined() || !y.requires_grad()));
}

}  // namespace lamina::tests
