// The tape: accumulation, lifetime of what it saves, higher derivatives, misuse.
#include "core/autograd.h"

#include <ctime>

#include "catch.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/memory/allocator.h"
#include "core/ops/ops.h"
#include "gradient_check.h"
#include "leaf.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

std::size_t live_bytes() { return cpu_backend().allocator().use().live_bytes; }

// What one tensor like this takes, red zones of the address sanitizer included.
std::size_t live_bytes_of(const Tensor& tensor) {
  const std::size_t before = live_bytes();
  const Tensor another = Tensor::empty_like(tensor);
  return live_bytes() - before;
}

}  // namespace

TEST_CASE("leaves accumulate gradients until they are zeroed", "[autograd]") {
  Tensor x = leaf({1, 2, 3});
  CHECK_FALSE(x.grad().defined());
  sum(square(x)).backward();
  CHECK(values_of(x.grad()) == Values{2, 4, 6});
  sum(x * 3.0).backward();
  CHECK(values_of(x.grad()) == Values{5, 7, 9});
  x.zero_grad();
  CHECK(values_of(x.grad()) == Values{0, 0, 0});
}

TEST_CASE("a bound gradient is accumulated in place", "[autograd]") {
  Tensor x = leaf({1, 2});
  const Tensor arena = Tensor::from<double>({10, 20, 30, 40}, {4});
  x.bind_grad(arena.flat(1, {2}));
  sum(x * 5.0).backward();
  CHECK(values_of(arena) == Values{10, 25, 35, 40});
  CHECK(x.grad().shares_storage(arena));
  CHECK_THROWS_AS(x.bind_grad(arena), Error);
}

TEST_CASE("a watch hears of every leaf once, when its last gradient has been added", "[autograd]") {
  Tensor x = leaf({2}), y = leaf({3}), z = leaf({5}), apart = leaf({7});
  std::vector<const Node*> heard;
  std::vector<Values> gradients;
  const auto pass = [&](const Tensor& output) {
    heard.clear(), gradients.clear();
    const LeafWatch watch([&](const Node& leaf) {
      heard.push_back(&leaf);
      gradients.push_back(values_of(leaf.grad));
    });
    output.backward();
  };
  const Tensor below = x * y;
  pass(sum(below * x * z + below));  // z is through before x and y, which the product needs twice
  CHECK(heard == std::vector<const Node*>{z.node().get(), x.node().get(), y.node().get()});
  CHECK(gradients == std::vector<Values>{{12}, {63}, {22}});
  pass(sum(x * x));  // added to what is there
  CHECK(heard == std::vector<const Node*>{x.node().get()});
  CHECK(gradients == std::vector<Values>{{67}});
  sum(apart * x).backward();  // nobody watches any more
  CHECK(std::ssize(heard) == 1);
}

TEST_CASE("a first gradient is memory of the leaf's own", "[autograd]") {
  Tensor x = leaf({1, 2}), y = leaf({3, 4});
  sum(x + y).backward();  // both receive the same incoming gradient
  x.zero_grad();
  CHECK(values_of(y.grad()) == Values{1, 1});
}

TEST_CASE("a tensor used more than once gets the sum of its gradients", "[autograd]") {
  Tensor x = leaf({3});
  sum(x * x + x).backward();
  CHECK(values_of(x.grad()) == Values{7});

  Tensor w = leaf({2});
  Tensor shared = square(w);                            // 4, used by two branches of different depth
  sum(exp(shared * 0.0) * shared * shared).backward();  // w^4
  CHECK(values_of(w.grad()) == Values{32});
}

TEST_CASE("a leaf is its own derivative", "[autograd]") {
  Tensor x = Tensor::full({}, 2, {DType::f64}).requires_grad_();
  x.backward();
  CHECK(x.grad().item() == 1);
}

TEST_CASE("copies of a leaf share its gradient", "[autograd]") {
  const std::vector<Tensor> leaves(2, leaf({1}));
  sum(leaves[0] * 4.0).backward();
  CHECK(values_of(leaves[1].grad()) == Values{4});
}

TEST_CASE("a chain of 100,000 ops runs backward and dies without recursion", "[autograd]") {
  const std::clock_t start = std::clock();  // of the processor: other programs do not count
  Tensor x = leaf({1});
  {
    Tensor y = x;
    for (int i = 0; i < 100'000; ++i) y = y + 1.0;
    sum(y).backward();
  }
  CHECK(values_of(x.grad()) == Values{1});
  {  // destruction of a chain that never ran backward
    Tensor y = x;
    for (int i = 0; i < 100'000; ++i) y = y + 1.0;
  }
  {  // a chain held in the middle
    Tensor y = x, middle;
    for (int i = 0; i < 100'000; ++i) {
      y = y + 1.0;
      if (i == 50'000) middle = y;
    }
    y = {};
    CHECK(middle.item() == 50'002);
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  INFO(seconds << " s");
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(seconds < 2);
#endif
}

TEST_CASE("a deep graph is recorded and differentiated twice", "[autograd]") {
  Tensor x = leaf({0.5});
  Tensor y = x;
  for (int i = 0; i < 20'000; ++i) y = y + 1e-4;
  const Tensor g = grad(sum(y * y), std::span(&x, 1), {}, {.create_graph = true}).front();
  CHECK(std::abs(grad(sum(g), std::span(&x, 1)).front().item() - 2) < 1e-12);
}

TEST_CASE("NoGrad records nothing, and ends with its scope", "[autograd]") {
  const Tensor x = leaf({1, 2});
  {
    const NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE((x * 2.0).requires_grad());
    {
      const GradMode record_again(/*enabled=*/true);
      CHECK((x * 2.0).requires_grad());
    }
    CHECK_FALSE(square(x).requires_grad());
  }
  CHECK(grad_enabled());
  CHECK((x * 2.0).requires_grad());
  CHECK_FALSE((x.detach() * 2.0).requires_grad());
}

TEST_CASE("constants get no gradient and stop the walk", "[autograd]") {
  const Tensor constant = Tensor::from<double>({2, 3}, {2});
  Tensor x = leaf({1, 1});
  sum(x * constant + square(constant)).backward();
  CHECK(values_of(x.grad()) == Values{2, 3});
  CHECK_FALSE(constant.requires_grad());
  CHECK_FALSE((constant * constant).requires_grad());
}

TEST_CASE("misuse of backward is explained", "[autograd][errors]") {
  Tensor x = leaf({1, 2});
  Tensor loss = sum(square(x));
  loss.backward();
  CHECK(unexplained([&] { loss.backward(); }, {"already run", "retain_graph"}) == "nothing");
  CHECK(unexplained([&] { grad(loss, std::span(&x, 1)); }, {"already run", "retain_graph"}) == "nothing");
  CHECK(unexplained([&] { square(x).backward(); }, {"not a scalar", "f64[2]", "sum()"}) == "nothing");
  const Tensor constant = Tensor::zeros({});
  CHECK(unexplained([&] { constant.backward(); }, {"no gradient history", "NoGrad"}) == "nothing");
  CHECK(unexplained([&] { Tensor().backward(); }, {"undefined"}) == "nothing");
  CHECK(unexplained([&] { grad(sum(x), std::span(&constant, 1)); }, {"input 0", "requires_grad_()"}) ==
        "nothing");
  CHECK(unexplained([&] { grad(square(x), std::span(&x, 1), Tensor::zeros({3}, {DType::f64})); },
                    {"f64[3]", "f64[2]", "does not fit"}) == "nothing");
  CHECK(unexplained([&] { Tensor::zeros({2}, {DType::i32}).requires_grad_(); }, {"i32[2]", "expected f32"}) ==
        "nothing");
  CHECK(unexplained([&] { square(x).requires_grad_(); }, {"not a leaf", "detach()"}) == "nothing");
  CHECK(unexplained([&] { static_cast<void>(square(x).grad()); }, {"not a leaf"}) == "nothing");
  CHECK(unexplained([&] { cast(leaf({1, 2}), DType::i32); }, {"cast", "no derivative"}) == "nothing");
}

TEST_CASE("a graph can be kept for another pass", "[autograd]") {
  const Tensor x = leaf({3});
  const Tensor y = sum(square(x));
  CHECK(values_of(grad(y, std::span(&x, 1), {}, {.retain_graph = true}).front()) == Values{6});
  CHECK(values_of(grad(y, std::span(&x, 1)).front()) == Values{6});
  CHECK_THROWS_AS(grad(y, std::span(&x, 1)), Error);
}

TEST_CASE("part of a graph that was used up is noticed", "[autograd][errors]") {
  Tensor x = leaf({3});
  const Tensor shared = square(x);
  sum(shared).backward();
  CHECK(unexplained([&] { sum(shared * 2.0).backward(); }, {"square", "already run"}) == "nothing");
  CHECK(unexplained([&] { grad(sum(shared * 2.0), std::span(&x, 1)); }, {"square", "already run"}) ==
        "nothing");
}

TEST_CASE("grad gives zeros for inputs without influence and leaves the leaves alone", "[autograd]") {
  const Tensor x = leaf({1, 2}), unused = leaf({5, 6, 7}), late = leaf({1});
  const std::vector<Tensor> inputs{x, unused, late, x};
  const std::vector<Tensor> gradients = grad(sum(square(x)), inputs);
  CHECK(values_of(gradients[0]) == Values{2, 4});
  CHECK(values_of(gradients[1]) == Values{0, 0, 0});
  CHECK(values_of(gradients[2]) == Values{0});
  CHECK(values_of(gradients[3]) == Values{2, 4});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("grad with respect to a tensor in the middle", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor middle = square(x);
  const std::vector<Tensor> inputs{middle, x};
  const std::vector<Tensor> gradients = grad(sum(middle * middle), inputs);
  CHECK(values_of(gradients[0]) == Values{8});
  CHECK(values_of(gradients[1]) == Values{32});
}

// f(x, y) = sum(x^2 y) + sum(e^x): H [v; u] = [2 y v + 2 x u + e^x v; 2 x v].
TEST_CASE("Hessian-vector products are exact", "[autograd]") {
  const Tensor x = leaf({0.5, -1}), y = leaf({2, 3});
  const std::vector<Tensor> inputs{x, y};
  const Tensor v = Tensor::from<double>({1, -2}, {2}), u = Tensor::from<double>({0.5, 0.25}, {2});
  const auto f = [&] { return sum(square(x) * y) + sum(exp(x)); };
  const auto directional = [&] {
    const std::vector<Tensor> g = grad(f(), inputs, {}, {.create_graph = true});
    return sum(g[0] * v) + sum(g[1] * u);
  };
  const std::vector<Tensor> product = grad(directional(), inputs);
  const Values px = values_of(product[0]), py = values_of(product[1]);
  for (std::size_t i = 0; i < 2; ++i) {
    const double xi = values_of(x)[i], yi = values_of(y)[i], vi = values_of(v)[i], ui = values_of(u)[i];
    // A few roundings of numbers below 20.
    CHECK(std::abs(px[i] - (2 * yi * vi + 2 * xi * ui + std::exp(xi) * vi)) < 1e-14);
    CHECK(std::abs(py[i] - 2 * xi * vi) < 1e-14);
  }
  CHECK(gradient_mismatch(px, numeric_gradient([&] { return directional().item(); }, x)) == "none");
  CHECK(gradient_mismatch(py, numeric_gradient([&] { return directional().item(); }, y)) == "none");
}

TEST_CASE("third derivatives of polynomials", "[autograd]") {
  const Tensor x = leaf({2});
  Tensor y = sum(x * x * x * x);
  const auto derivative = [&] {
    return y = sum(grad(y, std::span(&x, 1), {}, {.create_graph = true}).front());
  };
  CHECK(derivative().item() == 32);
  CHECK(derivative().item() == 48);
  CHECK(derivative().item() == 48);
}

TEST_CASE("saved data is gone after backward, and after the loss without it", "[autograd][memory]") {
  Tensor weight = Tensor::full({64, 64}, 0.01).requires_grad_();
  const Tensor x = Tensor::full({64, 64}, 1);
  const auto network = [&] {
    Tensor h = x;
    for (int i = 0; i < 8; ++i) h = tanh(matmul(h, weight));
    return sum(softmax(sigmoid(exp(h))));
  };
  network().backward();  // the weight's gradient now exists
  const std::size_t parameters_only = live_bytes();
  {
    const Tensor loss = network();
    CHECK(live_bytes() > parameters_only + 8 * 64 * 64 * sizeof(float));
    loss.backward();
    CHECK(live_bytes() == parameters_only + live_bytes_of(loss));
  }
  CHECK(live_bytes() == parameters_only);
  {  // nor does a tensor that somebody still holds keep what its op saved
    const Tensor middle = matmul(x * 2.0, weight);
    sum(tanh(middle)).backward();
    CHECK(live_bytes() == parameters_only + live_bytes_of(middle));
  }
  { const Tensor dropped = network(); }
  CHECK(live_bytes() == parameters_only);
}

TEST_CASE("backward frees as it goes: its peak is below twice the forward's", "[autograd][memory]") {
  Allocator& allocator = cpu_backend().allocator();
  Tensor x = Tensor::full({1 << 16}, 0.5).requires_grad_();
  const auto chain = [&] {
    Tensor y = x;
    for (int i = 0; i < 20; ++i) y = tanh(y);
    return sum(y);
  };
  chain().backward();
  const std::size_t before = live_bytes();
  const Tensor loss = chain();
  const std::size_t forward = live_bytes() - before;
  allocator.reset_peak();
  loss.backward();
  // Two gradients and one activation more than the forward pass kept.
  CHECK(allocator.use().peak_bytes - before <= forward + 3 * x.bytes());
}

TEST_CASE("ops that save their output make no cycle", "[autograd][memory]") {
  const std::size_t before = live_bytes();
  {
    Tensor x = Tensor::full({4, 8}, 0.5, {DType::f64}).requires_grad_();
    BatchNormParams params{Tensor::full({8}, 1, {DType::f64}).requires_grad_(),
                           Tensor::full({8}, 0, {DType::f64}).requires_grad_(),
                           Tensor::full({8}, 0, {DType::f64}), Tensor::full({8}, 1, {DType::f64})};
    const std::vector<Tensor> outputs{
        relu(x), sigmoid(x),    tanh(x),    exp(x),
        sqrt(x), reciprocal(x), softmax(x), batch_norm(x, params, {.relu = true})};
    // Recorded backward passes re-attach those outputs; the graph of the gradient must die as well.
    for (const Tensor& y : outputs) {
      const Tensor g = grad(sum(y), std::span(&x, 1), {}, {.create_graph = true}).front();
      CHECK(g.requires_grad());
      static_cast<void>(grad(sum(g), std::span(&x, 1)));
    }
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("a recorded gradient outlives the tensors it came from", "[autograd][memory]") {
  const Tensor x = leaf({0.3});
  Tensor g;
  {
    const Tensor y = sigmoid(x);
    g = grad(sum(y), std::span(&x, 1), {}, {.create_graph = true}).front();
  }
  const double s = 1 / (1 + std::exp(-0.3));
  CHECK(std::abs(g.item() - s * (1 - s)) < 1e-15);
  CHECK(std::abs(grad(sum(g), std::span(&x, 1)).front().item() - s * (1 - s) * (1 - 2 * s)) < 1e-15);
}

}  // namespace lamina::tests
