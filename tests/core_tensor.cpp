// Tensors, shapes, devices, and the messages of ops given what they cannot take.
#include "core/tensor.h"

#include "catch.h"
#include "core/backend.h"
#include "core/ops/ops.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

Tensor f32(const Shape& shape) { return Tensor::zeros(shape); }
Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return Tensor::from(values, shape);
}

}  // namespace

TEST_CASE("tensors are made, filled and read", "[tensor]") {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(x.str() == "f32[2, 3] on cpu");
  CHECK(x.rank() == 2);
  CHECK(x.size(-1) == 3);
  CHECK(x.elements() == 6);
  CHECK(x.bytes() == 24);
  CHECK(x.data<float>()[4] == 5);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(Tensor::full({2}, 1.5, {DType::f64}).to_vector<double>() == std::vector<double>{1.5, 1.5});
  CHECK(Tensor::full({2}, 7, {DType::i32}).to_vector<std::int32_t>() == std::vector<std::int32_t>{7, 7});
  CHECK(Tensor::full({2}, 200, {DType::u8}).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{200, 200});
  CHECK(Tensor::full({}, 3).item() == 3);
  CHECK(Tensor::full({1, 1}, 9, {DType::i32}).item() == 9);
  CHECK(Tensor::zeros({0, 3}).elements() == 0);
  CHECK(Tensor::zeros({0, 3}).to_vector<float>().empty());
  CHECK_FALSE(Tensor().defined());
  CHECK(Tensor().str() == "undefined tensor");
}

TEST_CASE("copies share memory, clones do not", "[tensor]") {
  Tensor x = counting({4});
  const Tensor copy = x, clone = x.clone();
  x.fill(9);
  CHECK(copy.to_vector<float>() == std::vector<float>(4, 9));
  CHECK(clone.to_vector<float>() == std::vector<float>{0, 1, 2, 3});
  CHECK(copy.shares_storage(x));
  CHECK_FALSE(clone.shares_storage(x));
  x.copy_from(clone);
  CHECK(copy.to_vector<float>() == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("views look into the same memory", "[tensor]") {
  const Tensor x = counting({4, 3});
  CHECK(x.view({2, 6}).shape() == Shape{2, 6});
  CHECK(x.rows(1, 2).to_vector<float>() == std::vector<float>{3, 4, 5, 6, 7, 8});
  CHECK(x.rows(4, 0).elements() == 0);
  CHECK(x.rows(1, 2).rows(1, 1).to_vector<float>() == std::vector<float>{6, 7, 8});
  CHECK(x.flat(5, {2, 2}).to_vector<float>() == std::vector<float>{5, 6, 7, 8});
  x.rows(3, 1).fill(-1);
  CHECK(x.to_vector<float>().back() == -1);
  CHECK(x.to(Device::cpu()).shares_storage(x));
}

TEST_CASE("misuse of tensors is explained", "[tensor][errors]") {
  const Tensor x = counting({2, 3});
  CHECK(unexplained([&] { x.view({4}); }, {"view", "f32[2, 3]", "[4]"}) == "nothing");
  CHECK(unexplained([&] { x.rows(1, 2); }, {"rows", "[1, 3)", "f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { x.rows(-1, 1); }, {"rows", "[-1, 0)"}) == "nothing");
  CHECK(unexplained([&] { x.flat(4, {3}); }, {"flat", "[4, 7)"}) == "nothing");
  CHECK(unexplained([&] { static_cast<void>(x.item()); }, {"item", "f32[2, 3]", "one element"}) == "nothing");
  CHECK(unexplained([&] { static_cast<void>(x.size(2)); }, {"axis 2", "f32[2, 3]"}) == "nothing");
  CHECK(unexplained([&] { static_cast<void>(x.data<double>()); }, {"f32[2, 3]", "f64"}) == "nothing");
  CHECK(unexplained([&] { static_cast<void>(Tensor().data<float>()); }, {"undefined"}) == "nothing");
  CHECK(unexplained([&] { x.clone().copy_from(counting({3})); }, {"copy_from", "f32[2, 3]", "f32[3]"}) ==
        "nothing");
  CHECK(unexplained([&] { Tensor::from<float>({1, 2}, {3}); }, {"2 values", "[3]"}) == "nothing");
  CHECK(unexplained([&] { Shape({1, 2, 3, 4, 5, 6, 7}); }, {"[1, 2, 3, 4, 5, 6]", "at most 6"}) == "nothing");
  CHECK(unexplained([&] { Shape({2, -1}); }, {"-1", "negative"}) == "nothing");
}

TEST_CASE("shapes broadcast as NumPy's", "[tensor]") {
  CHECK(broadcast({2, 3}, {3}, "test") == Shape{2, 3});
  CHECK(broadcast({2, 1}, {1, 4}, "test") == Shape{2, 4});
  CHECK(broadcast({}, {5}, "test") == Shape{5});
  CHECK(broadcast({0}, {1}, "test") == Shape{0});
  CHECK(Shape{2, 3, 4}.elements(1, 3) == 12);
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK(Shape{1, 2}.str() == "[1, 2]");
  CHECK_FALSE(Shape{1, 2} == Shape{1, 2, 1});
}

TEST_CASE("devices are parsed and named", "[tensor][errors]") {
  CHECK(Device::parse("cpu") == Device::cpu());
  CHECK(Device::parse("cuda") == Device::cuda(0));
  CHECK(Device::parse("cuda:3").str() == "cuda:3");
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"}) {
    INFO(text);
    CHECK_THROWS_AS(Device::parse(text), UsageError);
  }
  if (cuda_device_count() == 0) {
    CHECK(Device::best() == Device::cpu());
    CHECK(unexplained([] { Tensor::zeros({1}, {.device = Device::cuda()}); }, {"cuda", "device cpu"}) ==
          "nothing");
  }
}

TEST_CASE("threads are at least one", "[tensor][errors]") {
  CHECK(unexplained([] { set_threads(0); }, {"threads", "0", "expected"}) == "nothing");
  const int before = threads();
  set_threads(3);
  CHECK(threads() == 3);
  {
    const SerialScope serial;
    CHECK(threads() == 1);
  }
  set_threads(before);
}

TEST_CASE("ops explain what they cannot take", "[ops][errors]") {
  const Tensor image = f32({2, 8, 8, 3}), matrix = f32({4, 5});
  CHECK(unexplained([&] { add(f32({2, 3}), f32({4})); }, {"add", "[2, 3]", "[4]", "broadcast"}) == "nothing");
  CHECK(unexplained([&] { mul(f32({3}), Tensor::zeros({3}, {DType::f64})); }, {"mul", "f32[3]", "f64[3]"}) ==
        "nothing");
  CHECK(unexplained([&] { relu(Tensor::zeros({2}, {DType::i32})); }, {"relu", "i32[2]"}) == "nothing");
  CHECK(unexplained([&] { exp(Tensor()); }, {"exp", "undefined"}) == "nothing");
  CHECK(unexplained([&] { sub(f32({2}), Tensor()); }, {"sub", "undefined"}) == "nothing");
  CHECK(unexplained([&] { matmul(matrix, matrix); }, {"matmul", "5 and 4", "f32[4, 5]"}) == "nothing");
  CHECK(unexplained([&] { matmul(f32({5}), matrix); }, {"matmul", "matrices", "f32[5]"}) == "nothing");
  CHECK(unexplained([&] { linear(matrix, f32({3, 4})); }, {"linear", "f32[3, 4]", "[out, in]"}) == "nothing");
  CHECK(unexplained(
            [&] {
              linear(matrix, f32({3, 5}), f32({4}));
            },
            {"linear", "bias", "f32[4]", "[out]"}) == "nothing");
  CHECK(unexplained(
            [&] {
              conv2d(image, f32({4, 3, 3, 5}));
            },
            {"conv2d", "[2, 8, 8, 3] has 3 channels", "expects 5", "NHWC"}) == "nothing");
  CHECK(unexplained(
            [&] {
              conv2d(image, f32({4, 9, 9, 3}));
            },
            {"conv2d", "larger", "[2, 8, 8, 3]"}) == "nothing");
  CHECK(unexplained(
            [&] {
              conv2d(image, f32({4, 3, 3, 3}), {.stride = 0});
            },
            {"conv2d", "stride 0"}) == "nothing");
  CHECK(unexplained(
            [&] {
              conv2d(matrix, f32({4, 3, 3, 3}));
            },
            {"conv2d", "4 dimensions", "[4, 5]"}) == "nothing");
  CHECK(unexplained(
            [&] {
              conv2d_grad_input(image, f32({4, 3, 3, 3}), {2, 8, 8, 3});
            },
            {"conv2d_grad_input", "f32[2, 8, 8, 3]", "[2, 6, 6, 4]"}) == "nothing");
  CHECK(unexplained([&] { max_pool2d(image, {.size = 2, .padding = 2}); }, {"max_pool2d", "padding 2"}) ==
        "nothing");
  CHECK(unexplained([&] { max_pool2d(image, {.size = 9}); }, {"max_pool2d", "window 9", "larger"}) ==
        "nothing");
  CHECK(unexplained([&] { global_avg_pool(matrix); }, {"global_avg_pool", "f32[4, 5]", "[N, H, W, C]"}) ==
        "nothing");
}

TEST_CASE("ops that change shapes explain what they cannot take", "[ops][errors]") {
  const Tensor matrix = f32({4, 5});
  CHECK(unexplained([&] { slice(matrix, {.axis = 1, .start = 3, .count = 3}); },
                    {"slice", "start 3, count 3, step 1", "extent 5", "f32[4, 5]"}) == "nothing");
  CHECK(unexplained([&] { slice(matrix, {.axis = 2, .count = 1}); }, {"slice", "axis 2", "f32[4, 5]"}) ==
        "nothing");
  CHECK(unexplained([&] { embed(matrix, {.axis = 1, .count = 5, .step = 2}, 8); }, {"embed", "extent 8"}) ==
        "nothing");
  CHECK(unexplained([&] { reshape(matrix, {3, 7}); }, {"f32[4, 5]", "[3, 7]", "20", "21"}) == "nothing");
  const std::vector<Tensor> parts{f32({2, 3}), f32({3, 3})};
  CHECK(unexplained([&] { concat(parts, 1); }, {"concat", "f32[2, 3]", "f32[3, 3]", "axis 1"}) == "nothing");
  CHECK(unexplained([&] { concat(std::span<const Tensor>(), 0); }, {"concat", "no tensors"}) == "nothing");
  CHECK(unexplained([&] { sum_to(matrix, {3}); }, {"sum_to", "[4, 5]", "[3]"}) == "nothing");
  CHECK(unexplained([&] { broadcast_to(matrix, {5}); }, {"broadcast_to", "f32[4, 5]", "[5]"}) == "nothing");
  CHECK(unexplained([&] { mean(f32({0, 2})); }, {"mean", "f32[0, 2]", "no elements"}) == "nothing");
  CHECK(unexplained([&] { argmax(matrix, 2); }, {"argmax", "f32[4, 5]", "axis 2"}) == "nothing");
}

TEST_CASE("losses and batch norm explain what they cannot take", "[ops][errors]") {
  const Tensor logits = f32({4, 5});
  const Tensor classes = Tensor::from<std::int32_t>({0, 1, 2, 3}, {4});
  CHECK(unexplained([&] { softmax(f32({})); }, {"softmax", "f32[]", "last axis"}) == "nothing");
  CHECK(unexplained([&] { one_hot(f32({4}), 5); }, {"one_hot", "f32[4]", "i32 [N]"}) == "nothing");
  CHECK(unexplained([&] { one_hot(classes, 0); }, {"one_hot", "0 classes", "at least one"}) == "nothing");
  CHECK(unexplained([&] { one_hot(classes, 3); }, {"one_hot", "label 3", "0 to 2"}) == "nothing");
  CHECK(unexplained([&] { cross_entropy(logits, f32({4})); }, {"cross_entropy", "f32[4]", "i32 [N]"}) ==
        "nothing");
  CHECK(unexplained([&] { cross_entropy(logits, classes.rows(0, 3)); }, {"cross_entropy", "i32[3]"}) ==
        "nothing");
  CHECK(unexplained([&] { cross_entropy(logits, classes, {.label_smoothing = 1}); },
                    {"label_smoothing 1", "[0, 1)"}) == "nothing");
  for (const std::int32_t label : {5, -1}) {
    Tensor wrong = classes.clone();
    wrong.data<std::int32_t>()[2] = label;
    CHECK(unexplained([&] { cross_entropy(logits, wrong); },
                      {"cross_entropy", "label", std::to_string(label).c_str(), "0 to 4"}) == "nothing");
  }

  const BatchNormParams params{f32({3}), f32({3}), f32({3}), f32({3})};
  const Tensor image = f32({2, 8, 8, 3});
  CHECK(unexplained(
            [&] {
              batch_norm(f32({2, 8, 8, 4}), params);
            },
            {"batch_norm", "f32[3]", "[4]"}) == "nothing");
  CHECK(unexplained(
            [&] {
              batch_norm(f32({1, 1, 1, 3}), params);
            },
            {"batch_norm", "at least 2", "eval()"}) == "nothing");
  CHECK(unexplained(
            [&] {
              batch_norm(image, params, {}, f32({2, 8, 4, 3}));
            },
            {"batch_norm", "residual f32[2, 8, 4, 3]", "f32[2, 8, 8, 3]"}) == "nothing");
  CHECK(unexplained([&] { batch_norm(image, params, {.eps = 0}); }, {"batch_norm", "eps 0"}) == "nothing");
}

}  // namespace lamina::tests
