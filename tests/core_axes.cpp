// Ops over axes, choosing, random tensors and printing: what the table of op cases does not reach, and
// messages.
#include <sstream>

#include "catch.h"
#include "core/backend.h"
#include "core/ops/ops.h"
#include "core/random.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

using Floats = std::vector<float>;
using Integers = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("ops over axes explain what they cannot take", "[ops][errors]") {
  const Tensor x = Tensor::zeros({2, 3}), empty = Tensor::zeros({2, 0});
  CHECK(unexplained([&] { sum(x, 2); }, {"sum", "axis 2", "f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { mean(x, {0, -2}); }, {"mean", "f32[2, 3]", "twice"}) == "nothing");
  CHECK(unexplained([&] { mean(empty, 1); }, {"mean", "f32[2, 0]", "no elements"}) == "nothing");
  CHECK(unexplained([&] { max(empty, 1); }, {"max", "f32[2, 0]", "no elements"}) == "nothing");
  CHECK(unexplained([&] { var(x, 0, {.correction = 2}); }, {"var", "2 values", "correction 2"}) == "nothing");
  CHECK(unexplained([&] { permute(x, {0, 0}); }, {"permute", "axis 0", "twice"}) == "nothing");
  CHECK(unexplained([&] { permute(x, {1}); }, {"permute", "1 axes", "f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { transpose(Tensor::zeros({3})); }, {"transpose", "axis -2", "f32[3]"}) == "nothing");
  CHECK(unexplained([&] { flatten(x, 2); }, {"flatten", "axis 2"}) == "nothing");
  CHECK(unexplained([&] { stack({x, empty}, 0); }, {"stack", "f32[2, 3]", "f32[2, 0]"}) == "nothing");
  CHECK(unexplained([&] { stack({x}, 3); }, {"stack", "axis 3"}) == "nothing");
  CHECK(unexplained([&] { where(x, x, Tensor::zeros({4})); }, {"where", "[2, 3]", "[4]"}) == "nothing");
  CHECK(unexplained([&] { dot(x, x); }, {"dot", "f32[2, 3]", "vectors"}) == "nothing");
  CHECK(unexplained([&] { clamp(x, 1, 0); }, {"clamp", "low 1", "high 0"}) == "nothing");
  CHECK(unexplained([&] { mse_loss(x, Tensor::zeros({3})); }, {"mse_loss", "f32[3]"}) == "nothing");
  CHECK(unexplained([&] { normalize(x, 1, 0); }, {"normalize", "eps 0"}) == "nothing");
  CHECK(unexplained([&] { x[2]; }, {"row 2", "f32[2, 3]"}) == "nothing");
}

TEST_CASE("ops that choose explain what they cannot take", "[ops][errors]") {
  const Tensor x = Tensor::zeros({2, 3});
  const Tensor index = Tensor::from<std::int32_t>({0, 3}, {2});
  CHECK(unexplained([&] { top_k(x, 4); }, {"top_k", "4 of f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { top_k(x, 0); }, {"top_k", "0 of"}) == "nothing");
  CHECK(unexplained([&] { index_select(x, 1, index); }, {"gather", "index 3", "0 to 2"}) == "nothing");
  CHECK(unexplained([&] { index_select(x, 1, x); }, {"index_select", "f32[2, 3]", "i32 [K]"}) == "nothing");
  CHECK(unexplained([&] { gather(x, 1, index); }, {"gather", "i32[2]", "f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { scatter_add(x, 1, index, 5); }, {"scatter_add", "2 indices", "3"}) == "nothing");
  CHECK(unexplained([&] { dropout(x, 1.5); }, {"dropout", "p 1.5", "0 to 1"}) == "nothing");
  CHECK(unexplained(
            [&] {
              max_pool2d(Tensor::zeros({1, 0, 0, 3}), {.padding = 1});
            },
            {"[1, 0, 0, 3]", "pixels"}) == "nothing");
  CHECK(unexplained([&] { avg_pool2d(x); }, {"avg_pool2d", "f32[2, 3]", "[N, H, W, C]"}) == "nothing");
  const Tensor image = Tensor::zeros({1, 4, 4, 4}), kernel = Tensor::zeros({4, 3, 3, 2});
  CHECK(unexplained([&] { conv2d(image, kernel, {.groups = 3}); }, {"conv2d", "3 groups"}) == "nothing");
  CHECK(unexplained([&] { conv2d(image, kernel, {.groups = 2, .dilation = 0}); }, {"dilation 0"}) ==
        "nothing");
  CHECK(unexplained(
            [&] {
              matmul(Tensor::zeros({2, 3, 4}), Tensor::zeros({3, 4, 5}));
            },
            {"matmul", "[2]", "[3]", "broadcast"}) == "nothing");
  CHECK(unexplained(
            [&] {
              cross_entropy(x, Tensor::zeros({2, 4}));
            },
            {"cross_entropy", "f32[2, 4]"}) == "nothing");
}

TEST_CASE("the k largest: of equals the first, NaNs before all, and their gradient", "[ops]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const TopK found = top_k(Tensor::from({1.0f, 3.0f, nan, 3.0f, 2.0f}, {5}), 4);
  CHECK(found.indices.to_vector<std::int32_t>() == Integers{2, 1, 3, 4});
  CHECK(found.values.to_vector<float>()[1] == 3);
  Tensor x = Tensor::from({1.0, 3.0, 2.0, 6.0, 5.0, 4.0}, {2, 3}).requires_grad_();
  sum(top_k(x, 2).values).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{0, 1, 1, 1, 1, 0});
}

TEST_CASE("empty tensors pass through ops over axes", "[ops]") {
  const Tensor empty = Tensor::zeros({0, 3});
  CHECK(sum(empty, 0).to_vector<float>() == Floats{0, 0, 0});
  CHECK(max(empty, 1).shape() == Shape{0});
  CHECK(permute(empty, {1, 0}).shape() == Shape{3, 0});
  CHECK(argmax(empty).shape() == Shape{0});
  CHECK(top_k(empty, 2).values.shape() == Shape{0, 2});
  CHECK(softmax(empty).shape() == Shape{0, 3});
  CHECK(where(empty > 0.0, empty, 1.0).shape() == Shape{0, 3});
  CHECK(index_select(Tensor::ones({2, 3}), 0, Tensor::zeros({0}, {DType::i32})).shape() == Shape{0, 3});
  CHECK(matmul(Tensor::zeros({0, 2, 3}), Tensor::zeros({0, 3, 4})).shape() == Shape{0, 2, 4});
}

TEST_CASE("integers can be looked up and rearranged", "[ops]") {
  const Tensor labels = Tensor::from({4, 5, 6}, {3});
  const Tensor order = Tensor::from({2, 0, 0}, {3});
  CHECK(index_select(labels, 0, order).to_vector<std::int32_t>() == Integers{6, 4, 4});
  CHECK(gather(labels, 0, order).to_vector<std::int32_t>() == Integers{6, 4, 4});
  CHECK(transpose(Tensor::from({1, 2, 3, 4}, {2, 2})).to_vector<std::int32_t>() == Integers{1, 3, 2, 4});
}

TEST_CASE("random tensors and dropout follow from the seed and the number of the draw", "[random]") {
  seed(5);
  const auto first = Tensor::randn({3, 4}).to_vector<float>(),
             second = Tensor::randn({3, 4}).to_vector<float>();
  const Tensor x = Tensor::ones({50});
  const auto mask = dropout(x, 0.5).to_vector<float>(), other = dropout(x, 0.5).to_vector<float>();
  CHECK(first != second);
  CHECK(mask != other);
  seed(5);
  CHECK(Tensor::randn({3, 4}).to_vector<float>() == first);
  CHECK(Tensor::randn({3, 4}, {.draw = 1}).to_vector<float>() == second);
  CHECK(Tensor::rand({2}, {.seed = 9, .draw = 0}).to_vector<float>() ==
        Tensor::rand({2}, {.seed = 9, .draw = 0}).to_vector<float>());
  seed(5);
  Tensor::randn({1});
  Tensor::randn({1});
  CHECK(dropout(x, 0.5).to_vector<float>() == mask);
  seed(0);

  // Of 40,000 numbers: four standard errors of the mean, 0.02, and of the variance, 0.028.
  const Tensor many = Tensor::randn({40000}, {.dtype = DType::f64, .seed = 1, .draw = 0});
  CHECK(std::abs(mean(many).item()) < 0.02);
  CHECK(std::abs(var(many).item() - 1) < 0.03);
  const Tensor draw = Tensor::zeros({}, {DType::i32});
  const double kept = sum(dropout(Tensor::ones({40000}), 0.25, draw, 3) > 0.0).item();
  CHECK(std::abs(kept / 40000 - 0.75) < 0.009);  // four standard errors
  CHECK(draw.to_vector<std::int32_t>().front() == 1);
}

TEST_CASE("tensors print as NumPy's arrays do", "[tensor]") {
  const auto text = [](const Tensor& x) { return fmt::format("{}", x); };
  CHECK(text(Tensor::full({}, 2.5)) == "2.5");
  CHECK(text(Tensor::from({1.0f, -2.0f, 0.125f}, {3})) == "[    1,    -2, 0.125]");
  CHECK(text(Tensor::from({1, 2, 3, 4}, {2, 2})) == "[[1, 2],\n [3, 4]]");
  CHECK(text(Tensor::from({100000, 123456}, {2})) == "[100000, 123456]");
  CHECK(fmt::format("{:03d}", Tensor::from({1, 2}, {2})) == "[001, 002]");
  CHECK(unexplained([] { static_cast<void>(fmt::format("{:d}", Tensor::ones({2}))); },
                    {"print", "{:d}", "floating-point"}) == "nothing");
  CHECK(text(Tensor::zeros({2, 1, 2})) == "[[[0, 0]],\n\n [[0, 0]]]");
  CHECK(text(Tensor::zeros({0})) == "[]");
  CHECK(text(Tensor()) == "undefined tensor");
  CHECK(fmt::format("{:.2f}", Tensor::from({1.0, 2.0}, {2})) == "[1.00, 2.00]");
  CHECK(text(Tensor::zeros({2000})) == "[0, 0, 0, ..., 0, 0, 0]");
  CHECK(text(Tensor::zeros({100, 100})).size() < 300);
  CHECK(fmt::format("{}", Shape{2, 3}) == "[2, 3]");
  std::ostringstream out;
  out << Tensor::eye(2);
  CHECK(out.str() == "[[1, 0],\n [0, 1]]");
  CHECK(text(Tensor::full({2}, 3).requires_grad_()) == "[3, 3]");
}

TEST_CASE("messages describe tensors, and only when they are written", "[tensor]") {
  CHECK(unexplained([] { fail("seen: {} of {}", Tensor::zeros({2}), Shape{3}); },
                    {"seen: f32[2] on cpu of [3]"}) == "nothing");
  check(true, "{}", Tensor());  // would read an undefined tensor's elements
}

}  // namespace lamina::tests
