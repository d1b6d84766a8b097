// Nothing that was differentiated may change unseen: views and copies keep their history, and what an op has
// saved is refused once it is overwritten.
#include <algorithm>
#include <numeric>

#include "catch.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/memory/allocator.h"
#include "leaf.h"
#include "message_of.h"
#include "op_inputs.h"

namespace lamina::tests {
namespace {

// The gradients of a row's op after `overwrite(inputs, output)`; empty if they are refused for that.
template <typename Overwrite>
std::optional<std::vector<std::vector<std::byte>>> gradients_after(const OpCase& row, const Arrays& arrays,
                                                                   const Overwrite& overwrite) {
  const Evaluation e(row, arrays, DType::f64);
  const Tensor y = row.apply(e.inputs);
  const Tensor weights = projection(y, DType::f64, 7);
  overwrite(e.inputs, y);
  try {
    return bytes_of(grad(y, e.leaves, weights));
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("has been overwritten since") != std::string::npos);
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("an op's gradient after its operands or its output were overwritten is the old one, or refused",
          "[ops][overwritten]") {
  std::size_t refused = 0, unchanged = 0;
  for (const OpCase& row : op_cases()) {
    if (row.large || !row.differentiable() || row.op == "cast") continue;
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, kink_margin);
    const auto clean = gradients_after(row, arrays, [](const Tensors&, const Tensor&) {});
    REQUIRE(clean);
    for (std::size_t i = 0; i <= row.inputs.size(); ++i) {
      INFO("overwritten: " << (i < row.inputs.size() ? "input " + std::to_string(i) : std::string("output")));
      const auto after = gradients_after(row, arrays, [i](const Tensors& inputs, const Tensor& y) {
        Tensor victim = i < inputs.size() ? inputs[i] : y.detach();
        victim.detach().fill(0);
      });
      if (after) CHECK(*after == *clean);
      ++(after ? unchanged : refused);
    }
  }
  CHECK(refused > 200);
  CHECK(unchanged > 200);
}

TEST_CASE("what changes between forward and backward is refused", "[overwritten]") {
  Tensor w = leaf({3});
  Tensor loss = sum(square(w));
  w.fill(100);
  CHECK(unexplained([&] { loss.backward(); },
                    {"backward", "f64[1]", "\"square\"", "overwritten", "clone()"}) == "nothing");
  loss = sum(square(w));
  w.copy_from(Tensor::from<double>({4}, {1}));
  CHECK_THROWS_AS(loss.backward(), Error);
  loss = sum(square(w));
  {
    const NoGrad no_grad;
    w -= 0.5;
  }
  CHECK_THROWS_AS(loss.backward(), Error);
  loss = sum(square(w));
  w.detach().data<double>()[0] = 7;
  w.bump_version();
  CHECK_THROWS_AS(loss.backward(), Error);
  loss = sum(w * 2.0);  // needs no value of w
  w.fill(1);
  loss.backward();
  CHECK(w.grad().item() == 2);
}

TEST_CASE("the result of an op cannot be overwritten", "[overwritten]") {
  Tensor w = leaf({3, 4}), y = square(w);
  CHECK(unexplained([&] { y.fill(0); }, {"fill", "f64[2]", "square", "detach()"}) == "nothing");
  CHECK(unexplained([&] { y.copy_from(Tensor::zeros({2}, {DType::f64})); }, {"copy_from", "square"}) ==
        "nothing");
  Tensor constant = Tensor::zeros({2}, {DType::f64});
  CHECK(unexplained([&] { constant.copy_from(y); }, {"copy_from", "f64[2]", "history", "NoGrad"}) ==
        "nothing");
  CHECK(unexplained([&] { constant.copy_from(w); }, {"copy_from", "history"}) == "nothing");
  constant.copy_from(y.detach());
  CHECK(constant.to_vector<double>() == Values{9, 16});
  CHECK(unexplained([&] { w += 1.0; }, {"+=", "f64[2]", "leaf", "NoGrad"}) == "nothing");
}

TEST_CASE("views and copies of a tensor with a history keep it", "[overwritten]") {
  const auto gradient = [](const auto& f) {
    Tensor x = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {3, 2}).requires_grad_();
    sum(f(square(x))).backward();
    return x.grad().to_vector<double>();
  };
  CHECK(gradient([](const Tensor& y) { return y.view({6}); }) == Values{2, 4, 6, 8, 10, 12});
  CHECK(gradient([](const Tensor& y) { return y.rows(1, 1); }) == Values{0, 0, 6, 8, 0, 0});
  CHECK(gradient([](const Tensor& y) { return y.rows(1, 0); }) == Values{0, 0, 0, 0, 0, 0});
  CHECK(gradient([](const Tensor& y) { return y.flat(3, {2}); }) == Values{0, 0, 0, 8, 10, 0});
  CHECK(gradient([](const Tensor& y) { return y[-1]; }) == Values{0, 0, 0, 0, 10, 12});
  CHECK(gradient([](const Tensor& y) { return y.clone(); }) == Values{2, 4, 6, 8, 10, 12});
  CHECK(gradient([](const Tensor& y) { return y.to(Device::cpu()); }) == Values{2, 4, 6, 8, 10, 12});
  CHECK(gradient([](const Tensor& y) { return y.to(DType::f32); }) == Values{2, 4, 6, 8, 10, 12});
  const Tensor x = leaf({1, 2});
  CHECK(x.rows(0, 1).shares_storage(x));
  CHECK_FALSE(x.clone().shares_storage(x));
  const NoGrad no_grad;
  CHECK_FALSE(x.rows(0, 1).requires_grad());
}

TEST_CASE("arithmetic assignment is in place where nothing is recorded", "[overwritten]") {
  Tensor x = Tensor::from<double>({1, 2}, {2});
  const Tensor same = x;
  x += 1.0;
  x *= x;
  x /= 2.0;
  x -= Tensor::from<double>({1, 1}, {2});
  CHECK(same.to_vector<double>() == Values{1, 3.5});
  CHECK(unexplained(
            [&] {
              x += Tensor::zeros({3, 2}, {DType::f64});
            },
            {"+=", "f64[2]", "f64[3, 2]"}) == "nothing");
  Tensor w = leaf({1, 2}), total = sum(w);
  const Tensor before = total;
  total += sum(square(w));
  CHECK(before.item() == 3);
  total.backward();
  CHECK(w.grad().to_vector<double>() == Values{3, 5});
}

TEST_CASE("results can be changed without changing what they were made of", "[overwritten]") {
  const Tensor x = Tensor::ones({1, 3}, {DType::f64});
  for (const Axes& axes : {Axes(0), Axes(1)}) {
    Tensor s = sum(x, axes);
    s *= 2.0;
  }
  const Tensor scalar = Tensor::full({}, 4);
  Tensor total = sum(scalar);
  total += 1.0;
  CHECK(x.to_vector<double>() == Values{1, 1, 1});
  CHECK(scalar.item() == 4);
  const Tensor a = leaf({1, 2}), b = leaf({3, 4}), weights = Tensor::from<double>({5, 6}, {2});
  std::vector<Tensor> gradients = grad(a + b, {a, b}, weights);
  gradients[0] *= 0.5;
  CHECK(gradients[1].to_vector<double>() == Values{5, 6});
  CHECK(weights.to_vector<double>() == Values{5, 6});
}

TEST_CASE("copying between views that overlap copies what was there", "[overwritten]") {
  Values values(500'000);  // a copy of several chunks: each would overwrite what the next one reads
  std::iota(values.begin(), values.end(), 0);
  const auto n = static_cast<std::int64_t>(values.size());
  const Tensor x = Tensor::from(values, {n});
  x.rows(1, n - 1).copy_from(x.rows(0, n - 1));
  Values shifted = values;
  std::copy(values.begin(), values.end() - 1, shifted.begin() + 1);
  CHECK(x.to_vector<double>() == shifted);
  x.rows(0, n - 1).copy_from(x.rows(1, n - 1));
  std::copy(shifted.begin() + 1, shifted.end(), shifted.begin());
  CHECK(x.to_vector<double>() == shifted);
}

TEST_CASE("what no gradient will need is not kept", "[overwritten]") {
  Allocator& allocator = cpu_backend().allocator();
  const Tensor mask = Tensor::ones({1000});
  Tensor x = Tensor::ones({1000}).requires_grad_();
  const std::size_t before = allocator.use().live_bytes;
  const Tensor y = (x * 2.0) * mask;  // the first product is not needed for the gradient of x
  CHECK(allocator.use().live_bytes - before < 2 * 4000);
  sum(y).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>(1000, 2));
}

TEST_CASE("backward can be repeated if asked for", "[overwritten]") {
  Tensor x = leaf({3});
  const Tensor loss = sum(square(x));
  loss.backward({.retain_graph = true});
  loss.backward();
  CHECK(x.grad().item() == 12);
  CHECK(unexplained([&] { loss.backward(); }, {"backward", "backward({.retain_graph = true})"}) == "nothing");
  CHECK(grad(sum(square(x)), {x}).front().item() == 6);
}

}  // namespace lamina::tests
