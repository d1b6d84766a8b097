// What people coming from PyTorch write first: every line of docs/api.md's table for them, compiled and run.
// core_structure_api.cpp sees to it that none is missing here.
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "catch.h"
#include "lamina/lamina.h"
#include "temporary_directory.h"

namespace lamina::tests {
namespace {

using Floats = std::vector<float>;

Floats floats(const Tensor& x) { return x.to_vector<float>(); }

Tensor first_operand() { return Tensor::from({1.0f, 2.0f, 3.0f, 4.0f}, {2, 2}); }
Tensor second_operand() { return Tensor::from({2.0f, 2.0f, 2.0f, 8.0f}, {2, 2}); }

// What a program prints on standard output.
template <typename Work>
std::string printed(const Work& work) {
  const Directory directory;
  const int before = dup(STDOUT_FILENO), file = open(directory.file("out").c_str(), O_CREAT | O_WRONLY, 0600);
  std::fflush(stdout);
  dup2(file, STDOUT_FILENO);
  work();
  dup2(before, STDOUT_FILENO);
  close(before), close(file);
  return contents_of(directory.file("out"));
}

// What a program writes to std::cout.
class CapturedCout {
 public:
  CapturedCout() : before_(std::cout.rdbuf(text_.rdbuf())) {}
  ~CapturedCout() { std::cout.rdbuf(before_); }
  CapturedCout(const CapturedCout&) = delete;
  CapturedCout& operator=(const CapturedCout&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

// Files named without a folder are made in a temporary one.
class InDirectory {
 public:
  InDirectory() { std::filesystem::current_path(directory_.file("")); }
  ~InDirectory() { std::filesystem::current_path(before_); }
  InDirectory(const InDirectory&) = delete;
  InDirectory& operator=(const InDirectory&) = delete;

 private:
  Directory directory_;
  std::filesystem::path before_ = std::filesystem::current_path();
};

// Other tests count on the seed that the process starts with.
class KeepSeed {
 public:
  KeepSeed() = default;
  ~KeepSeed() { seed(before_); }
  KeepSeed(const KeepSeed&) = delete;
  KeepSeed& operator=(const KeepSeed&) = delete;

 private:
  std::uint64_t before_ = seed();
};

// An op of one's own.
Tensor cube(const Tensor& x) {
  const Tensor y = Tensor::empty_like(x);
  for (std::int64_t i = 0; i < x.elements(); ++i) y.data<float>()[i] = std::pow(x.data<float>()[i], 3.0f);
  return record("cube", y, {x}, [x = Saved(x)](const Tensor& grad, Grads& grads) {
    grads.set(0, grad * 3 * square(grads.get(x)));
  });
}

// One step of the optimizer on a loss of the net's.
void take_step(Optimizer& o, Module& net) {
  o.zero_grad();
  sum(square(net(first_operand()))).backward();
  o.step();
  CHECK(o.steps() == 1);
}

}  // namespace

TEST_CASE("first lines: making, reading and showing tensors", "[first_lines]") {
  const Tensor y = second_operand();
  Tensor x = first_operand();
  CHECK(floats(Tensor::from({1.0f, 2.0f}, {2})) == Floats{1, 2});
  CHECK(floats(Tensor::from(std::vector{1.0f, 2.0f}, {2})) == Floats{1, 2});
  CHECK(Tensor::randn({2, 2}).shape() == Shape{2, 2});
  CHECK(floats(Tensor::ones({2})) == Floats{1, 1});
  CHECK(floats(Tensor::eye(3)) == Floats{1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(floats(x[0]) == Floats{1, 2});
  CHECK(x.view({4}).shares_storage(x));
  CHECK(x.to(DType::f64).dtype() == DType::f64);
  CHECK(x.to(Device::cpu()).shares_storage(x));
  CHECK_FALSE(x.device() == Device::cuda());
  const double c = sum(x).item();
  const auto f = static_cast<float>(sum(x).item());
  CHECK((c == 10 && f == 10));
  CHECK_THROWS_AS(x.item(), Error);  // four elements

  CHECK(printed([&] { print("{}", x); }) == "[[1, 2],\n [3, 4]]\n");
  CHECK(printed([&] { print("{}", x.shape()); }) == "[2, 2]\n");
  CHECK(printed([&] { print("{}", x.str()); }) == "f32[2, 2] on cpu\n");
  const CapturedCout out;
  std::cout << x;
  CHECK(out.text() == "[[1, 2],\n [3, 4]]");
}

TEST_CASE("first lines: arithmetic", "[first_lines]") {
  const Tensor y = second_operand();
  Tensor x = first_operand();
  CHECK(floats(1.0 / x) == Floats{1, 0.5f, 1.0f / 3, 0.25f});
  CHECK(floats(pow(x, 3)) == Floats{1, 8, 27, 64});
  CHECK(floats(abs(x)) == Floats{1, 2, 3, 4});
  CHECK(floats(maximum(x, y)) == Floats{2, 2, 3, 8});
  CHECK(floats(clamp(x, 0, 1)) == Floats{1, 1, 1, 1});
  CHECK(floats(x > y) == Floats{0, 0, 1, 0});
  CHECK(floats(where(x > 2, x, y)) == Floats{2, 2, 3, 4});
  CHECK(floats(sign(x)) == Floats{1, 1, 1, 1});
  CHECK(floats(sin(x))[0] == Approx(std::sin(1.0)));
  CHECK(floats(sqrt(x))[3] == 2);
  CHECK(floats(dropout(x, 0.5)).size() == 4);
  x += y;
  CHECK(floats(x) == Floats{3, 4, 5, 12});
}

TEST_CASE("first lines: reductions, products and losses", "[first_lines]") {
  const Tensor x = first_operand(), y = second_operand();
  CHECK(sum(x).item() == 10);
  CHECK(floats(sum(x, 1)) == Floats{3, 7});
  CHECK(floats(mean(x, 0)) == Floats{2, 3});
  CHECK(max(x).item() == 4);
  CHECK(norm(x).item() == Approx(std::sqrt(30.0)));
  CHECK(floats(top_k(x, 2).values) == Floats{2, 1, 4, 3});
  CHECK_THROWS_AS(top_k(x, 5), Error);  // of two
  CHECK(floats(matmul(x, y, {.transpose_b = true})) == Floats{6, 18, 14, 38});
  CHECK(sum(softmax(x)).item() == Approx(2));
  CHECK(sum(exp(log_softmax(x))).item() == Approx(2));
  CHECK(mse_loss(x, y).item() == 4.5);
  CHECK(cross_entropy(x, softmax(y)).item() > 0);
}

TEST_CASE("first lines: shapes", "[first_lines]") {
  const Tensor x = first_operand(), y = second_operand();
  const Tensor images = Tensor::randn({2, 3, 4});
  const Tensor labels = Tensor::from({3, 9}, {2});
  CHECK(floats(transpose(x)) == Floats{1, 3, 2, 4});
  CHECK(floats(transpose(x, 0, 1)) == Floats{1, 3, 2, 4});
  CHECK(permute(images, {0, 2, 1}).shape() == Shape{2, 4, 3});
  CHECK(reshape(x, {4}).shape() == Shape{4});
  CHECK(flatten(x).shape() == Shape{4});
  CHECK(concat({x, y}, 0).shape() == Shape{4, 2});
  CHECK(stack(std::vector{x, y}, 0).shape() == Shape{2, 2, 2});
  {
    const Tensor index = Tensor::from({0, 1}, {2, 1});
    CHECK(floats(gather(x, 1, index)) == Floats{1, 4});
  }
  const Tensor index = Tensor::from({1, 1, 0}, {3});
  CHECK(floats(index_select(x, 0, index)) == Floats{3, 4, 3, 4, 1, 2});
  CHECK(one_hot(labels, 10).shape() == Shape{2, 10});
}

TEST_CASE("first lines: gradients", "[first_lines]") {
  Tensor x = first_operand();
  x.requires_grad_();
  CHECK(x.requires_grad());
  sum(x).backward({.retain_graph = true});
  CHECK(floats(x.grad()) == Floats{1, 1, 1, 1});
  CHECK(floats(grad(sum(x), {x})[0]) == Floats{1, 1, 1, 1});
  const auto first = grad(sum(pow(x, 3)), std::vector{x}, {}, {.create_graph = true});
  CHECK(floats(grad(sum(first[0]), {x})[0]) == Floats{6, 12, 18, 24});
  CHECK(grad(sum(x), std::vector{x}, {}, {.create_graph = true}).size() == 1);
  CHECK(floats(grad(sum(cube(x)), {x})[0]) == Floats{3, 12, 27, 48});
}

TEST_CASE("first lines: convolutions and pooling", "[first_lines]") {
  {
    const Tensor x = Tensor::ones({1, 6, 6, 8}), y = Tensor::ones({16, 3, 3, 1});
    const auto c = conv2d(x, y, {.stride = 2, .padding = 1, .groups = 8});
    CHECK(c.shape() == Shape{1, 3, 3, 16});
  }
  {
    const Tensor x = Tensor::ones({1, 7, 7, 8}), y = Tensor::ones({16, 3, 3, 8});
    const auto c = conv2d(x, y, {.stride = 2, .padding = 1, .dilation = 2});
    CHECK(c.shape() == Shape{1, 3, 3, 16});
  }
  const Tensor x = Tensor::ones({1, 6, 6, 2});
  CHECK(avg_pool2d(x, {}).shape() == Shape{1, 3, 3, 2});
  CHECK(max_pool2d(x, {.size = 2, .stride = 2, .padding = 0}).shape() == Shape{1, 3, 3, 2});
}

TEST_CASE("first lines: layers one after another", "[first_lines]") {
  const Tensor images = Tensor::ones({2, 8, 8, 3});
  {
    Sequential s;
    s.add<Conv2d>(3, 8, 3);
    s.add<BatchNorm2d>(8);
    s.add<ReLU>();
    initialise(s);
    CHECK(s(images).shape() == Shape{2, 6, 6, 8});
  }
  {
    Sequential s;
    s.add<Conv2d>(3, 8, 3, Conv2dLayerOptions{.stride = 2, .padding = 1});
    s.add<GlobalAvgPool>();
    s.add<Linear>(8, 10);
    initialise(s);
    CHECK(s(images).shape() == Shape{2, 10});
  }
  {
    Sequential s;
    s.add<Dropout>(0.5);
    CHECK(s(images).shape() == images.shape());
  }
  Sequential s;
  s.add<Flatten>();
  CHECK(s(images).shape() == Shape{2, 192});
}

TEST_CASE("first lines: models", "[first_lines]") {
  const InDirectory directory;
  const KeepSeed keep_seed;
  ResNet net = resnet8({.classes = 10, .seed = 1});
  net.reset_head(5);
  CHECK(net.options().classes == 5);
  ResNet copy = net.clone();
  initialise(copy, {}, 7);
  copy_state(net, copy);
  CHECK(floats(copy.parameter("fc.weight").value) == floats(net.parameter("fc.weight").value));
  save_weights("w.safetensors", net);
  initialise(net, {}, 7);
  load_weights("w.safetensors", net);
  CHECK(floats(copy.parameter("fc.weight").value) == floats(net.parameter("fc.weight").value));
  std::size_t elements = 0;
  for (const auto& p : net.parameters()) elements += p->name.empty() ? 0 : 1;
  CHECK(elements == net.parameters().size());
  CHECK(net.child("layer1").children().size() == 1);
  CHECK(&net.child<Sequential>("layer1") == &net.child("layer1"));
}

TEST_CASE("first lines: large models", "[first_lines][slow]") {
  const KeepSeed keep_seed;
  ResNet net = resnet18({.head = false});
  CHECK(net.options().classes == 0);
  seed(3);
  auto n = resnet50({.classes = 3, .stem = Stem::cifar, .zero_init_residual = true});
  CHECK(n.options().classes == 3);
}

TEST_CASE("first lines: optimizers", "[first_lines]") {
  Linear net(2, 2);
  initialise(net, {}, 1);
  {
    Sgd o(net.parameters(), {.lr = 0.1, .momentum = 0.9, .nesterov = true});
    take_step(o, net);
  }
  {
    AdamW o(net.parameters(), {.beta1 = 0.9, .beta2 = 0.99});
    take_step(o, net);
  }
  {
    AdamW o(net.parameters(), {.weight_decay = 0});
    take_step(o, net);
  }
  Sgd o(net.parameters(), {.max_grad_norm = 1});
  take_step(o, net);
  CHECK(o.report().grad_norm > 1);
  CHECK(clip_grad_norm(net.parameters(), 1.0) > 1);
  CHECK(clip_grad_norm(net.parameters(), 1.0) < 1.0001);
}

TEST_CASE("first lines: data", "[first_lines]") {
  const auto data = data::synthetic({.classes = 10, .height = 8, .width = 8, .train = 20, .test = 20});
  data::Loader l(data.train, {.batch = 8, .transform = [](Tensor t) { return t; }});
  std::int64_t images = 0;
  for (auto [x, y] : l.epoch(0)) images += x.size(0);
  CHECK(images == 20);
  ResNet net = resnet8({.classes = 10, .seed = 1});
  CHECK(accuracy(net, data.test, {.top = 5}) >= accuracy(net, data.test));
}

}  // namespace lamina::tests
