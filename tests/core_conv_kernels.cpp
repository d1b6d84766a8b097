// The CPU's convolution and matrix kernels on random shapes, against sums written out in f64.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "core/tensor.h"

using namespace lamina;

namespace {

using Values = std::vector<double>;

struct Problem {
  std::int64_t images, height, width, in, out, kernel_height, kernel_width;
  Conv2dOptions options;

  std::int64_t out_height() const {
    return (height + 2 * options.padding - kernel_height) / options.stride + 1;
  }
  std::int64_t out_width() const { return (width + 2 * options.padding - kernel_width) / options.stride + 1; }
  Shape x() const { return {images, height, width, in}; }
  Shape weight() const { return {out, kernel_height, kernel_width, in}; }
  Shape y() const { return {images, out_height(), out_width(), out}; }
  bool possible() const {
    return height + 2 * options.padding >= kernel_height && width + 2 * options.padding >= kernel_width;
  }
  std::string str() const {
    std::ostringstream text;
    text << "x " << x().str() << " weight " << weight().str() << " stride " << options.stride << " padding "
         << options.padding;
    return text.str();
  }
};

// A sum of products and the sum of their magnitudes, which bounds its rounding error.
struct Sums {
  Values value, magnitude;
  explicit Sums(const Shape& shape)
      : value(static_cast<std::size_t>(shape.elements())), magnitude(value.size()) {}
  void add(std::int64_t index, double product) {
    value[static_cast<std::size_t>(index)] += product;
    magnitude[static_cast<std::size_t>(index)] += std::abs(product);
  }
};

// Calls visit(x index, weight index, y index) for every product of the convolution.
template <typename Visit>
void for_each_product(const Problem& p, const Visit& visit) {
  const std::int64_t pixels = p.images * p.out_height() * p.out_width();
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    const std::int64_t n = pixel / (p.out_height() * p.out_width());
    const std::int64_t i = pixel / p.out_width() % p.out_height();
    const std::int64_t j = pixel % p.out_width();
    for (std::int64_t tap = 0; tap < p.kernel_height * p.kernel_width; ++tap) {
      const std::int64_t h = i * p.options.stride + tap / p.kernel_width - p.options.padding;
      const std::int64_t w = j * p.options.stride + tap % p.kernel_width - p.options.padding;
      if (h < 0 || h >= p.height || w < 0 || w >= p.width) continue;
      for (std::int64_t o = 0; o < p.out; ++o) {
        for (std::int64_t c = 0; c < p.in; ++c) {
          visit(((n * p.height + h) * p.width + w) * p.in + c,
                (o * p.kernel_height * p.kernel_width + tap) * p.in + c, pixel * p.out + o);
        }
      }
    }
  }
}

template <typename T>
std::vector<T> random_values(std::mt19937& random, std::int64_t count) {
  std::normal_distribution<double> normal;
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(normal(random));
  return values;
}

template <typename T>
Tensor poisoned(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape, {.dtype = dtype_of<T>});
  tensor.fill(std::numeric_limits<double>::quiet_NaN());
  return tensor;
}

// |computed - exact| ≤ terms · u · Σ|products| for a sum in any order (Higham 2002, eq. 3.5); with random
// signs and sums split into blocks the error stays near sqrt(terms). 16 u Σ|products| is generous for that,
// and 1 % of a single typical product would already exceed it.
template <typename T>
void require_close(const Tensor& computed, const Sums& exact) {
  const std::vector<T> values = computed.to_vector<T>();
  REQUIRE(values.size() == exact.value.size());
  const double unit = std::numeric_limits<T>::epsilon();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = std::abs(static_cast<double>(values[i]) - exact.value[i]);
    if (!(error <= 16 * unit * exact.magnitude[i])) ++wrong;  // a NaN is wrong, too
  }
  CHECK(wrong == 0);
}

template <typename T>
struct Operands {
  Tensor x, weight, grad;
  Operands(std::mt19937& random, const Problem& p)
      : x(Tensor::from(random_values<T>(random, p.x().elements()), p.x())),
        weight(Tensor::from(random_values<T>(random, p.weight().elements()), p.weight())),
        grad(Tensor::from(random_values<T>(random, p.y().elements()), p.y())) {}
};

// y, grad_x and grad_weight of the CPU backend, each written over poison; and grad_x added to x.
template <typename T>
std::vector<Tensor> run_kernels(const Problem& p, const Operands<T>& in) {
  Tensor y = poisoned<T>(p.y());
  Tensor grad_x = poisoned<T>(p.x());
  Tensor grad_weight = poisoned<T>(p.weight());
  cpu_backend().conv2d(in.x, in.weight, p.options, y);
  cpu_backend().conv2d_grad_input(in.grad, in.weight, p.options, grad_x);
  cpu_backend().conv2d_grad_weight(in.grad, in.x, p.options, grad_weight);
  Tensor sum = in.x.clone();
  cpu_backend().conv2d_add_grad_input(in.grad, in.weight, p.options, sum);
  return {y, grad_x, grad_weight, sum};
}

template <typename T>
void check_against_sums(std::mt19937& random, const Problem& p) {
  INFO(p.str() << " " << name_of(dtype_of<T>));
  const Operands<T> in(random, p);
  const std::vector<T> x = in.x.template to_vector<T>();
  const std::vector<T> weight = in.weight.template to_vector<T>();
  const std::vector<T> grad = in.grad.template to_vector<T>();
  const auto at = [](const std::vector<T>& values, std::int64_t index) {
    return static_cast<double>(values[static_cast<std::size_t>(index)]);
  };
  Sums y(p.y());
  Sums grad_x(p.x());
  Sums grad_weight(p.weight());
  for_each_product(p, [&](std::int64_t i, std::int64_t k, std::int64_t o) {
    y.add(o, at(x, i) * at(weight, k));
    grad_x.add(i, at(grad, o) * at(weight, k));
    grad_weight.add(k, at(grad, o) * at(x, i));
  });
  Sums sum = grad_x;
  for (std::int64_t i = 0; i < p.x().elements(); ++i) sum.add(i, at(x, i));
  const std::vector<Tensor> outputs = run_kernels(p, in);
  require_close<T>(outputs[3], sum);
  require_close<T>(outputs[0], y);
  require_close<T>(outputs[1], grad_x);
  require_close<T>(outputs[2], grad_weight);
}

Problem random_problem(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> choices) {
    return *(choices.begin() + static_cast<std::ptrdiff_t>(random() % choices.size()));
  };
  Problem p{};
  do {
    p = {.images = pick({1, 2, 3, 7}),
         .height = 1 + static_cast<std::int64_t>(random() % 12),
         .width = 1 + static_cast<std::int64_t>(random() % 12),
         .in = pick({1, 2, 3, 5, 8, 10, 16, 17, 32}),
         .out = pick({1, 3, 5, 8, 10, 16, 24, 33, 64}),
         .kernel_height = pick({1, 1, 2, 3, 3, 5, 7}),
         .kernel_width = pick({1, 1, 2, 3, 3, 5, 7}),
         .options = {.stride = pick({1, 1, 2, 2, 3, 5}), .padding = pick({0, 0, 1, 1, 2, 3, 6})}};
  } while (!p.possible());
  return p;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_CASE("convolution kernels equal sums written out, on random shapes", "[conv]") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 60; ++trial) {
    const Problem p = random_problem(random);
    check_against_sums<float>(random, p);
    check_against_sums<double>(random, p);
  }
}

TEST_CASE("convolution kernels: shapes at the edges of their blocking", "[conv]") {
  const auto p = GENERATE(
      Problem{1, 1, 1, 1, 1, 1, 1, {}},                                // a single product
      Problem{2, 9, 9, 4, 4, 1, 1, {.stride = 2}},                     // pixels that are never read
      Problem{0, 8, 8, 16, 16, 3, 3, {.stride = 1, .padding = 1}},     // no images: grad_weight is 0
      Problem{2, 4, 4, 16, 0, 3, 3, {.stride = 2, .padding = 1}},      // no output channels: grad_input is 0
      Problem{2, 4, 4, 0, 16, 1, 1, {.stride = 2}},                    // no input channels: y is 0
      Problem{2, 5, 5, 3, 5, 2, 2, {.stride = 5, .padding = 4}},       // taps that read only padding
      Problem{1, 2, 2, 3, 16, 7, 7, {.stride = 2, .padding = 3}},      // a kernel larger than the image
      Problem{3, 9, 8, 3, 16, 3, 3, {.stride = 1, .padding = 1}},      // three channels: tiles of nine rows
      Problem{2, 9, 9, 3, 70, 3, 3, {.stride = 2, .padding = 1}},      // and a ragged last panel
      Problem{2, 6, 6, 9, 17, 1, 1, {}},                               // nine rows of one pixel
      Problem{2, 4, 12, 1, 16, 1, 9, {}},                              // and of nine pixels
      Problem{2, 8, 8, 4, 16, 5, 5, {.stride = 1, .padding = 2}},      // a row of taps is one
      Problem{2, 8, 9, 3, 16, 2, 3, {.stride = 2}},                    // in the images themselves
      Problem{1, 6, 0, 64, 64, 3, 3, {.stride = 1, .padding = 2}},     // images without columns
      Problem{9, 5, 4, 160, 608, 1, 1, {}},                            // grad-weight transposed
      Problem{9, 5, 4, 300, 10, 1, 1, {}},                             // and a ragged last panel
      Problem{3, 6, 6, 1600, 17, 1, 1, {}},                            // channels cut into depth blocks
      Problem{2, 6, 6, 600, 140, 1, 1, {}},                            // each thread packs weights of its own
      Problem{1, 5, 5, 1600, 21, 3, 3, {.stride = 2, .padding = 1}},   // several depth blocks per tap
      Problem{2, 33, 40, 16, 16, 3, 3, {.stride = 1, .padding = 1}},   // many pixel blocks, a ragged last
      Problem{70, 4, 4, 16, 160, 3, 3, {.stride = 2, .padding = 1}});  // many images, several panel groups
  std::mt19937 random(2);
  check_against_sums<float>(random, p);
  check_against_sums<double>(random, p);
}

TEST_CASE("padding far larger than the images is not copied with them", "[conv]") {
  std::mt19937 random(7);
  check_against_sums<float>(random, {1, 3, 3, 3, 5, 2, 2, {.stride = 10'000'000, .padding = 1'000'000}});
}

TEST_CASE("convolution kernels give the same bits for 1, 2, 4 and 8 threads", "[conv]") {
  std::mt19937 random(3);
  const int before = threads();
  for (const Problem& p :
       {Problem{21, 17, 15, 16, 40, 3, 3, {.stride = 1, .padding = 1}},
        Problem{13, 16, 16, 32, 64, 3, 3, {.stride = 2, .padding = 1}}, Problem{9, 5, 4, 160, 608, 1, 1, {}},
        Problem{21, 17, 15, 3, 40, 3, 3, {.stride = 1, .padding = 1}},
        Problem{9, 5, 5, 200, 200, 1, 1, {}}}) {  // 13 panels, too few for 8 threads
    const Operands<float> in(random, p);
    set_threads(1);
    const std::vector<Tensor> alone = run_kernels(p, in);
    for (const int count : {2, 4, 8}) {
      set_threads(count);
      const std::vector<Tensor> together = run_kernels(p, in);
      for (std::size_t k = 0; k < alone.size(); ++k) CHECK(same_bits(alone[k], together[k]));
    }
  }
  set_threads(before);
}

TEST_CASE("results that go past the caches have the bits of those that stay in them", "[conv]") {
  const auto p = GENERATE(Problem{160, 30, 29, 16, 16, 3, 3, {.stride = 1, .padding = 1}},  // ragged tiles
                          Problem{200, 30, 29, 16, 64, 3, 3, {.stride = 2, .padding = 1}},  // the same
                          Problem{40, 32, 32, 3, 64, 3, 3, {.stride = 1, .padding = 1}},
                          Problem{40, 32, 32, 16, 80, 1, 1, {}},
                          Problem{40, 32, 32, 16, 56, 1, 1, {}},    // a ragged last panel
                          Problem{20, 10, 10, 16, 1056, 1, 1, {}},  // few pixels, weights packed by groups
                          Problem{40, 32, 32, 64, 16, 1, 1, {.stride = 2}},
                          Problem{40, 32, 32, 64, 24, 3, 3, {.stride = 2, .padding = 1}});
  constexpr std::int64_t parts = 10, most = 8 * 1024 * 1024;
  REQUIRE(std::max(p.x().elements(), p.y().elements()) * 4 > most);
  REQUIRE(std::max(p.x().elements(), p.y().elements()) * 4 / parts < most);
  std::mt19937 random(5);
  const Operands<float> all(random, p);
  const std::vector<Tensor> whole = run_kernels(p, all);
  Problem part = p;
  part.images /= parts;
  for (std::int64_t i = 0; i < parts; ++i) {
    Operands<float> some = all;
    some.x = all.x.rows(i * part.images, part.images);
    some.grad = all.grad.rows(i * part.images, part.images);
    const std::vector<Tensor> piece = run_kernels(part, some);
    CHECK(same_bits(piece[0], whole[0].rows(i * part.images, part.images)));
    CHECK(same_bits(piece[1], whole[1].rows(i * part.images, part.images)));
    CHECK(same_bits(piece[3], whole[3].rows(i * part.images, part.images)));
  }
}

TEST_CASE("a NaN in one image stays in that image", "[conv]") {
  std::mt19937 random(4);
  const Problem p{7, 5, 5, 3, 10, 3, 3, {.stride = 1, .padding = 1}};
  Operands<float> in(random, p);
  in.x.rows(2, 1).fill(std::numeric_limits<double>::quiet_NaN());
  const std::vector<float> y = run_kernels(p, in)[0].to_vector<float>();
  const std::size_t image = y.size() / 7;
  for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(std::isnan(y[i]) == (i / image == 2));
}

namespace {

template <typename T>
void check_matmul(std::mt19937& random, std::int64_t m, std::int64_t n, std::int64_t k,
                  MatmulOptions options) {
  INFO("m " << m << " n " << n << " k " << k << " transposed " << options.transpose_a << options.transpose_b);
  const std::vector<T> a = random_values<T>(random, m * k);
  const std::vector<T> b = random_values<T>(random, k * n);
  Sums exact({m, n});
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t l = 0; l < k; ++l) {
        const T left = a[static_cast<std::size_t>(options.transpose_a ? l * m + i : i * k + l)];
        const T right = b[static_cast<std::size_t>(options.transpose_b ? j * k + l : l * n + j)];
        exact.add(i * n + j, static_cast<double>(left) * static_cast<double>(right));
      }
    }
  }
  Tensor out = poisoned<T>({m, n});
  cpu_backend().matmul(Tensor::from(a, options.transpose_a ? Shape{k, m} : Shape{m, k}),
                       Tensor::from(b, options.transpose_b ? Shape{n, k} : Shape{k, n}), options, out);
  require_close<T>(out, exact);
}

}  // namespace

TEST_CASE("matrix products equal sums written out", "[matmul]") {
  std::mt19937 random(5);
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      for (const std::int64_t m : {1, 10, 97, 200}) {
        for (const std::int64_t n : {1, 3, 10, 130}) {
          for (const std::int64_t k : {0, 1, 5, 100}) {
            check_matmul<float>(random, m, n, k, {transpose_a, transpose_b});
            check_matmul<double>(random, m, n, k, {transpose_a, transpose_b});
          }
        }
      }
    }
  }
}

TEST_CASE("matrix products give the same bits for 1, 2 and 4 threads", "[matmul]") {
  std::mt19937 random(6);
  const int before = threads();
  const Tensor a = Tensor::from(random_values<float>(random, 300 * 70), {300, 70});
  const Tensor b = Tensor::from(random_values<float>(random, 70 * 250), {70, 250});
  Tensor alone = poisoned<float>({300, 250});
  set_threads(1);
  cpu_backend().matmul(a, b, {}, alone);
  for (const int count : {2, 4}) {
    set_threads(count);
    Tensor together = poisoned<float>({300, 250});
    cpu_backend().matmul(a, b, {}, together);
    CHECK(same_bits(alone, together));
  }
  set_threads(before);
}
