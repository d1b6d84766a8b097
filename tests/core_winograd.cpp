// The Winograd kernels against direct convolution in f64; compiled with them for each instruction set, which
// the names of the cases say.
#include "core/cpu/winograd.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "core/instruction_set.h"
#include "core/memory/allocator.h"

using namespace lamina;
using cpu::ConvShape;

#define LAMINA_TEXT(x) #x
#define LAMINA_TEXT_OF(x) LAMINA_TEXT(x)
#define LAMINA_SET LAMINA_TEXT_OF(LAMINA_INSTRUCTION_SET)

namespace {

// Of instruction sets that this CPU lacks nothing can be tested.
bool runs_here() {
  const auto sets = instruction_sets();
  return std::string_view(LAMINA_SET) == "only" ||
         std::find(sets.begin(), sets.end(), LAMINA_SET) != sets.end();
}

ConvShape shape_of(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t in,
                   std::int64_t out, std::int64_t padding = 1) {
  return {.images = images,
          .in_height = height,
          .in_width = width,
          .in_channels = in,
          .out_height = height + 2 * padding - 2,
          .out_width = width + 2 * padding - 2,
          .out_channels = out,
          .kernel_height = 3,
          .kernel_width = 3,
          .stride = 1,
          .padding = padding};
}

// Of stride 2 and padding 1.
ConvShape strided(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t in,
                  std::int64_t out) {
  ConvShape shape = shape_of(images, height, width, in, out);
  shape.stride = 2;
  shape.out_height = (height + 1) / 2;
  shape.out_width = (width + 1) / 2;
  return shape;
}

template <typename T>
using Values = std::vector<T>;

struct Problem {
  ConvShape shape;
  Values<double> x, weight, grad;

  explicit Problem(const ConvShape& s)
      : shape(s),
        x(normal(s.images * s.in_height * s.in_width * s.in_channels)),
        weight(normal(s.out_channels * s.taps() * s.in_channels)),
        grad(normal(s.images * s.out_height * s.out_width * s.out_channels)) {}

  static Values<double> normal(std::int64_t count) {
    static std::mt19937 random(7);
    std::normal_distribution<double> distribution;
    Values<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = static_cast<double>(static_cast<float>(distribution(random)));
    return values;
  }
};

template <typename T>
struct Results {
  Values<T> y, grad_x, grad_weight, sum;  // sum: grad_x added to x

  explicit Results(const Problem& p)
      : y(poison(p.grad)), grad_x(poison(p.x)), grad_weight(poison(p.weight)), sum(p.x.begin(), p.x.end()) {}
  static Values<T> poison(const Values<double>& like) {
    return Values<T>(like.size(), std::numeric_limits<T>::quiet_NaN());
  }
};

template <typename T>
Results<T> winograd(const Problem& p) {
  HostAllocator allocator;
  const Values<T> x(p.x.begin(), p.x.end()), weight(p.weight.begin(), p.weight.end()),
      grad(p.grad.begin(), p.grad.end());
  Results<T> results(p);
  cpu::conv_winograd(p.shape, x.data(), weight.data(), results.y.data(), allocator);
  cpu::conv_winograd_grad_input(p.shape, grad.data(), weight.data(), results.grad_x.data(), false, allocator);
  cpu::conv_winograd_grad_input(p.shape, grad.data(), weight.data(), results.sum.data(), true, allocator);
  cpu::conv_winograd_grad_weight(p.shape, grad.data(), x.data(), results.grad_weight.data(), allocator);
  return results;
}

Results<double> direct(const Problem& p) {
  HostAllocator allocator;
  Results<double> results(p);
  cpu::conv_direct(p.shape, p.x.data(), p.weight.data(), results.y.data(), allocator);
  cpu::conv_direct_grad_input(p.shape, p.grad.data(), p.weight.data(), results.grad_x.data(), false,
                              allocator);
  cpu::conv_direct_grad_input(p.shape, p.grad.data(), p.weight.data(), results.sum.data(), true, allocator);
  cpu::conv_direct_grad_weight(p.shape, p.grad.data(), p.x.data(), results.grad_weight.data(), allocator);
  return results;
}

// ‖computed − exact‖ / ‖exact‖
template <typename T>
double relative_error(const Values<T>& computed, const Values<double>& exact) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(static_cast<double>(computed[i]) - exact[i], 2);
    size += exact[i] * exact[i];
  }
  return std::sqrt(error / size);
}

template <typename T>
void require_close(const ConvShape& shape, double bound) {
  INFO("images " << shape.images << ", " << shape.in_height << "x" << shape.in_width << ", channels "
                 << shape.in_channels << " -> " << shape.out_channels << ", padding " << shape.padding);
  const Problem problem(shape);
  const Results<double> exact = direct(problem);
  const Results<T> computed = winograd<T>(problem);
  CHECK(relative_error(computed.y, exact.y) <= bound);
  CHECK(relative_error(computed.grad_x, exact.grad_x) <= bound);
  CHECK(relative_error(computed.sum, exact.sum) <= bound);
  CHECK(relative_error(computed.grad_weight, exact.grad_weight) <= bound);
}

}  // namespace

TEST_CASE("Winograd equals direct convolution in f64, with ragged edges and every padding: " LAMINA_SET) {
  if (!runs_here()) return;
  // 1e-13 is a few hundred roundings: what f64 leaves of the 1e-6 seen in f32.
  for (const std::int64_t padding : {0, 1, 2}) {
    for (const std::int64_t height : {3, 4, 5, 9}) {
      for (const std::int64_t width : {6, 7, 8, 13})
        require_close<double>(shape_of(3, height, width, 16, 24, padding), 1e-13);
    }
  }
  for (const std::int64_t height : {1, 2, 7, 8, 9, 16}) {
    for (const std::int64_t width : {3, 8, 10, 17})
      require_close<double>(strided(3, height, width, 16, 24), 1e-13);
  }
  require_close<double>(strided(70, 12, 12, 8, 8), 1e-13);
  require_close<double>(shape_of(1, 8, 8, 8, 136), 1e-13);   // groups of unequal tiles
  require_close<double>(shape_of(70, 12, 12, 8, 8), 1e-13);  // many chunks
}

TEST_CASE("Winograd in f32 stays within 1e-5 of direct f64 convolution on ResNet's shapes: " LAMINA_SET) {
  if (!runs_here()) return;
  require_close<float>(shape_of(8, 32, 32, 16, 16), 1e-5);
  require_close<float>(shape_of(1, 8, 8, 16, 272), 1e-5);  // groups that divide 17 tiles
  require_close<float>(shape_of(8, 16, 16, 32, 32), 1e-5);
  require_close<float>(shape_of(8, 8, 8, 64, 64), 1e-5);
  require_close<float>(shape_of(2, 32, 32, 64, 64), 1e-5);
  require_close<float>(shape_of(2, 16, 16, 128, 128), 1e-5);
  require_close<float>(shape_of(4, 8, 8, 256, 256), 1e-5);
  require_close<float>(shape_of(8, 4, 4, 512, 512), 1e-5);
  require_close<float>(strided(8, 32, 32, 16, 32), 1e-5);
  require_close<float>(strided(2, 32, 32, 64, 128), 1e-5);
  require_close<float>(strided(8, 8, 8, 256, 512), 1e-5);
  require_close<float>(strided(2, 14, 14, 512, 512), 1e-5);
  require_close<float>(shape_of(1, 14, 14, 256, 256), 1e-5);  // ImageNet's sizes
  require_close<float>(shape_of(2, 7, 7, 512, 512), 1e-5);
}

TEST_CASE("Winograd gives the same bits for any number of threads: " LAMINA_SET) {
  if (!runs_here()) return;
  const int before = threads();
  for (const ConvShape& shape : {shape_of(9, 13, 10, 48, 80), strided(9, 13, 10, 48, 80)}) {
    const Problem problem(shape);
    set_threads(1);
    const Results<float> one = winograd<float>(problem);
    for (const int count : {2, 3, 8}) {
      set_threads(count);
      const Results<float> many = winograd<float>(problem);
      CHECK(many.y == one.y);
      CHECK(many.grad_x == one.grad_x);
      CHECK(many.grad_weight == one.grad_weight);
    }
  }
  set_threads(before);
}

TEST_CASE("An image has the same bits whether its tiles or the weights are more: " LAMINA_SET) {
  if (!runs_here()) return;
  const int before = threads();
  set_threads(2);  // few enough for panels
  HostAllocator allocator;
  constexpr std::int64_t channels = 144;
  const Problem many(shape_of(channels + 1, 4, 4, channels, channels));
  Problem few = many;
  few.shape.images = 20;
  const auto forward_and_backward = [&](const Problem& p) {
    const Values<float> x(p.x.begin(), p.x.end()), weight(p.weight.begin(), p.weight.end()),
        grad(p.grad.begin(), p.grad.end());
    const auto size = static_cast<std::size_t>(p.shape.images) * 16 * channels;
    Values<float> y(size), grad_x = x;  // added to what is there
    cpu::conv_winograd(p.shape, x.data(), weight.data(), y.data(), allocator);
    cpu::conv_winograd_grad_input(p.shape, grad.data(), weight.data(), grad_x.data(), true, allocator);
    y.insert(y.end(), grad_x.begin(), grad_x.begin() + static_cast<std::ptrdiff_t>(size));
    return y;
  };
  const Values<float> of_many = forward_and_backward(many), of_few = forward_and_backward(few);
  const auto half = static_cast<std::ptrdiff_t>(of_few.size() / 2);
  const auto all = static_cast<std::ptrdiff_t>(many.grad.size());
  CHECK(std::equal(of_few.begin(), of_few.begin() + half, of_many.begin()));
  CHECK(std::equal(of_few.begin() + half, of_few.end(), of_many.begin() + all));
  set_threads(before);
}

TEST_CASE(
    "Winograd is chosen for 3x3 kernels at strides 1 and 2 in whole panels of channels, where it saves "
    "products: " LAMINA_SET) {
  if (!runs_here()) return;
  CHECK(cpu::winograd_suits<float>(shape_of(128, 32, 32, 16, 16)));
  CHECK(cpu::winograd_suits<float>(shape_of(128, 7, 7, 512, 512)));
  CHECK_FALSE(cpu::winograd_suits<float>(shape_of(128, 32, 32, 3, 64)));   // the stem
  CHECK_FALSE(cpu::winograd_suits<float>(shape_of(128, 32, 32, 12, 16)));  // parts of panels
  CHECK_FALSE(cpu::winograd_suits<float>(shape_of(128, 2, 2, 512, 512)));  // one tile is mostly padding
  CHECK(cpu::winograd_suits<float>(strided(128, 32, 32, 64, 128)));
  CHECK(cpu::winograd_suits<float>(strided(128, 8, 8, 256, 512)));
  CHECK_FALSE(cpu::winograd_suits<float>(strided(128, 4, 4, 512, 512)));  // one tile is mostly padding
  ConvShape unpadded = strided(128, 32, 32, 64, 64);
  unpadded.padding = 0;
  unpadded.out_height = unpadded.out_width = 15;
  CHECK_FALSE(cpu::winograd_suits<float>(unpadded));
  ConvShape long_strides = strided(128, 32, 32, 64, 64);
  long_strides.stride = 3;
  CHECK_FALSE(cpu::winograd_suits<float>(long_strides));
  ConvShape wide = shape_of(128, 32, 32, 64, 64);
  wide.kernel_width = 5;
  CHECK_FALSE(cpu::winograd_suits<float>(wide));
}
