// The CPU kernels themselves, called through the Backend: what the table of op cases does not look at.
#include <cmath>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "cpu_kernels.h"

namespace lamina::tests {
namespace {

// A broadcast operand's element for each element of `space`, by walking all indices.
std::vector<std::size_t> broadcast_indices(const Shape& space, const Shape& shape) {
  std::vector<std::size_t> indices;
  for (std::int64_t i = 0; i < space.elements(); ++i) {
    std::int64_t rest = i, stride = 1, at = 0;
    for (int back = 1; back <= space.rank(); ++back) {
      const std::int64_t extent = space[space.rank() - back], place = rest % extent;
      rest /= extent;
      if (back > shape.rank()) continue;
      const std::int64_t own = shape[shape.rank() - back];
      at += own == 1 ? 0 : place * stride;
      stride *= own;
    }
    indices.push_back(static_cast<std::size_t>(at));
  }
  return indices;
}

// A random space of rank 0 to 5 and a shape that broadcasts to it.
struct BroadcastPair {
  Shape space, shape;
};
BroadcastPair random_shapes(std::uint32_t trial) {
  const Random numbers{.seed = 11, .sample = trial};
  BroadcastPair pair;
  const auto rank = static_cast<int>(numbers.below(0, 6));
  const auto missing = static_cast<int>(numbers.below(1, 4));
  for (int axis = 0; axis < rank; ++axis) {
    const auto draw = static_cast<std::uint32_t>(2 + 2 * axis);
    const std::int64_t extent = 1 + numbers.below(draw, 5);
    pair.space.append(extent);
    if (axis >= missing - 1) pair.shape.append(numbers.below(draw + 1, 2) == 0 ? 1 : extent);
  }
  return pair;
}

}  // namespace

TEST_CASE("elementwise kernels give the same bits for any number of threads") {
  const Tensor a = random({70'001}, 1), b = random({70'001}, 2), matrix = random({1001, 70}, 3),
               row = random({70}, 4);
  check_any_threads([&] {
    std::vector<Tensor> out;
    for (const math::Unary& f :
         {math::Unary(math::Relu{}), math::Unary(math::Tanh{}), math::Unary(math::Gelu{})}) {
      out.push_back(poisoned(a.shape()));
      cpu_backend().unary(f, a, out.back());
      out.push_back(poisoned(a.shape()));
      cpu_backend().unary_grad(f, a, b, out.back());
      out.push_back(poisoned(a.shape()));
      cpu_backend().unary_grad_grad(f, a, b, out.back());
    }
    out.push_back(poisoned(a.shape()));
    cpu_backend().binary(math::Div{}, a, b, out.back());
    out.push_back(poisoned(matrix.shape()));
    cpu_backend().binary(math::Sub{}, matrix, row, out.back());
    out.push_back(a.clone());
    cpu_backend().accumulate(b, out.back());
    return out;
  });
}

TEST_CASE("reductions, slices, pooling, losses give the same bits for any number of threads") {
  Backend& cpu = cpu_backend();
  const Tensor x = random({7, 33, 35, 19}, 1), logits = random({515, 37}, 2);
  std::vector<std::int32_t> classes(515);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int32_t>(i % 37);
  const Tensor labels = Tensor::from(classes, {515});
  check_any_threads([&] {
    std::vector<Tensor> out;
    for (const Shape& shape :
         {Shape{}, Shape{19}, Shape{7, 1, 1, 19}, Shape{33, 1, 1}, Shape{7, 33, 35, 1}}) {
      out.push_back(poisoned(shape));
      cpu.sum_to(x, out.back());
      out.push_back(poisoned(x.shape()));
      cpu.broadcast_to(out[out.size() - 2], out.back());
    }
    const Pool2dOptions options{.size = 3, .stride = 2, .padding = 1};
    Tensor y = poisoned({7, 17, 18, 19}), index = Tensor::full(y.shape(), -1, {DType::i32});
    cpu.max_pool2d(x, options, y, index);
    Tensor scattered = poisoned(x.shape()), gathered = poisoned(y.shape());
    cpu.max_pool2d_scatter(y, index, options, scattered);
    cpu.max_pool2d_gather(x, index, gathered);
    CHECK(same_bytes(gathered, y));
    Tensor losses = poisoned({515}), p = poisoned(logits.shape()), grad = poisoned(logits.shape());
    cpu.cross_entropy(logits, labels, 0.1, losses, p);
    cpu.cross_entropy_grad(losses, p, labels, 0.1, grad);
    out.insert(out.end(), {y, index, scattered, gathered, losses, p, grad});
    return out;
  });
}

TEST_CASE("binary, sum_to and broadcast_to agree with a walk over all indices") {
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    const auto [space, shape] = random_shapes(trial);
    CAPTURE(trial, space.str(), shape.str());
    const Tensor x = random(space, 1, DType::f64), small = random(shape, 2, DType::f64);
    const std::vector<std::size_t> at = broadcast_indices(space, shape);
    const auto xs = x.to_vector<double>(), smalls = small.to_vector<double>();
    std::vector<double> differences(xs.size()), reversed(xs.size()), repeated(xs.size()), sums(smalls.size());
    for (std::size_t i = 0; i < xs.size(); ++i) {
      differences[i] = xs[i] - smalls[at[i]];
      reversed[i] = smalls[at[i]] - xs[i];
      repeated[i] = smalls[at[i]];
      sums[at[i]] += xs[i];
    }
    Tensor out = poisoned(space, DType::f64);
    cpu_backend().binary(math::Sub{}, x, small, out);
    CHECK(out.to_vector<double>() == differences);
    cpu_backend().binary(math::Sub{}, small, x, out);
    CHECK(out.to_vector<double>() == reversed);
    cpu_backend().broadcast_to(small, out);
    CHECK(out.to_vector<double>() == repeated);
    Tensor total = poisoned(shape, DType::f64);
    cpu_backend().sum_to(x, total);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      // The order of up to 3125 terms below 1 differs: 3125 roundings of 1e-16 at most.
      CHECK(std::abs(total.data<double>()[i] - sums[i]) < 1e-12);
    }
  }
}

TEST_CASE("two operands broadcast against each other") {
  const Tensor column = Tensor::from<float>({1, 2, 3}, {3, 1}), row = Tensor::from<float>({10, 20}, {2});
  Tensor out = poisoned({3, 2});
  cpu_backend().binary(math::Add{}, column, row, out);
  CHECK(out.to_vector<float>() == std::vector<float>{11, 21, 12, 22, 13, 23});
}

TEST_CASE("a sum of many f32 terms keeps its digits") {
  const Tensor x = Tensor::full({3, 1'000'000}, 0.1);
  for (const Shape& shape : {Shape{}, Shape{3, 1}}) {
    Tensor total = poisoned(shape);
    cpu_backend().sum_to(x, total);
    const double expected = 0.1f * 3e6 / static_cast<double>(total.elements());
    // Accumulated in f64: only the result is rounded, by 2^-24. In f32 the error would be near 1e-3.
    CHECK(std::abs(total.to_vector<float>()[0] - expected) < 1e-7 * expected);
  }
  Tensor empty_sum = poisoned({3});
  cpu_backend().sum_to(Tensor::empty({0, 3}), empty_sum);
  CHECK(empty_sum.to_vector<float>() == std::vector<float>(3, 0));
}

TEST_CASE("in place and out of place give the same bits, also in a vector's tail") {
  const Tensor x = random({1037}, 5), y = random({1037}, 6);
  Tensor out = poisoned(x.shape()), in_place = x.clone();
  cpu_backend().unary(math::Silu{}, x, out);
  cpu_backend().unary(math::Silu{}, in_place, in_place);
  CHECK(same_bytes(out, in_place));
  cpu_backend().binary(math::Div{}, x, y, out);
  for (const std::int64_t first : {1, 3, 1036}) {  // other alignment, other place in the vector
    Tensor part = poisoned({1037 - first});
    cpu_backend().binary(math::Div{}, x.rows(first, 1037 - first), y.rows(first, 1037 - first), part);
    CHECK(same_bytes(part, out.rows(first, 1037 - first)));
  }
}

TEST_CASE("cast takes the whole part and saturates") {
  const Tensor x = Tensor::from<double>({-1.9, -0.5, 0.9, 2.9, 255.5, 3e9, -3e9, not_a_number}, {8});
  Tensor bytes = Tensor::zeros({8}, {DType::u8}), ints = Tensor::zeros({8}, {DType::i32});
  cpu_backend().cast(x, bytes);
  cpu_backend().cast(x, ints);
  CHECK(bytes.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 0, 0, 2, 255, 255, 0, 0});
  CHECK(ints.to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{-1, 0, 0, 2, 255, 2147483647, -2147483647 - 1, 0});
  Tensor wide = poisoned({8}, DType::f64);
  cpu_backend().cast(ints, wide);
  CHECK(wide.to_vector<double>() == std::vector<double>{-1, 0, 0, 2, 255, 2147483647, -2147483648.0, 0});
  cpu_backend().fill(ints, -7);
  CHECK(ints.to_vector<std::int32_t>() == std::vector<std::int32_t>(8, -7));
}

TEST_CASE("all_finite finds one NaN or Inf anywhere") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t at : {0, 16'383, 16'384, 50'000}) {
      Tensor x = random({50'001}, 8, dtype);
      CHECK(cpu_backend().all_finite(x));
      for (const double bad : {not_a_number, HUGE_VAL, -HUGE_VAL}) {
        Tensor element = x.rows(at, 1);
        element.fill(bad);
        CHECK_FALSE(cpu_backend().all_finite(x));
      }
    }
  }
  CHECK(cpu_backend().all_finite(Tensor::empty({0})));
}

TEST_CASE("a NaN is never hidden") {
  Backend& cpu = cpu_backend();
  Tensor index = Tensor::zeros({2}, {DType::i32});
  cpu.argmax(Tensor::from<float>({1, static_cast<float>(not_a_number), 9, 4, 7, 7}, {2, 3}), index);
  CHECK(index.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 1});

  Tensor p = poisoned({2, 3}), y = poisoned({1, 1, 1, 2}), at = Tensor::zeros({1, 1, 1, 2}, {DType::i32});
  cpu.softmax(Tensor::from<float>({1000, static_cast<float>(not_a_number), 9, 4, 1000, 7}, {2, 3}), p);
  for (std::size_t c = 0; c < 3; ++c) CHECK(std::isnan(p.to_vector<float>()[c]));
  CHECK(p.rows(1, 1).to_vector<float>() == std::vector<float>{0, 1, 0});

  cpu.max_pool2d(Tensor::from<double>({1, 5, not_a_number, 5, 9, 5, not_a_number, 5}, {1, 2, 2, 2}), {},
                 y = poisoned(y.shape(), DType::f64), at);
  CHECK(std::isnan(y.to_vector<double>()[0]));
  CHECK(y.to_vector<double>()[1] == 5);
  CHECK(at.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 0});  // first NaN, first of equals
}

TEST_CASE("slices with steps are read and written back") {
  const Tensor x = random({3, 7, 2}, 1);
  const auto values = x.to_vector<float>();
  for (const Slice slice : {Slice{1, 0, 7, 1}, Slice{1, 1, 3, 2}, Slice{1, 2, 2, 3}, Slice{0, 2, 1, 1},
                            Slice{2, 1, 1, 1}, Slice{0, 0, 2, 2}, Slice{1, 6, 7, -1}, Slice{1, 3, 0, 1}}) {
    CAPTURE(slice.axis, slice.start, slice.count, slice.step);
    Shape shape = x.shape();
    shape[slice.axis] = slice.count;
    Tensor part = poisoned(shape), whole = Tensor::full(x.shape(), 9);
    cpu_backend().read_slice(x, slice, part);
    cpu_backend().write_slice(part, slice, whole);
    std::size_t i = 0;
    std::vector<float> expected(values.size(), 9);
    for (std::int64_t o = 0; o < x.shape().elements(0, slice.axis); ++o) {
      for (std::int64_t k = 0; k < slice.count; ++k) {
        const std::int64_t inner = x.shape().elements(slice.axis + 1, 3);
        for (std::int64_t j = 0; j < inner; ++j, ++i) {
          const std::int64_t from = (o * x.shape()[slice.axis] + slice.start + k * slice.step) * inner + j;
          CHECK(part.data<float>()[i] == values[static_cast<std::size_t>(from)]);
          expected[static_cast<std::size_t>(from)] = values[static_cast<std::size_t>(from)];
        }
      }
    }
    CHECK(whole.to_vector<float>() == expected);
  }
  const Tensor bytes = Tensor::from<std::uint8_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  Tensor column = Tensor::zeros({2, 2}, {DType::u8});
  cpu_backend().read_slice(bytes, {1, 0, 2, 2}, column);
  CHECK(column.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 3, 4, 6});
}

TEST_CASE("crops run over every edge, are mirrored after cropping, normalised exactly, and cut out last") {
  std::vector<std::uint8_t> pixels(2 * 4 * 5 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37 % 256);
  const Tensor images = Tensor::from(pixels, {2, 4, 5, 3});
  const std::vector<float> mean{0.1f, 0.2f, 0.3f}, std{0.5f, 0.25f, 0.7f};
  const std::vector<Crop> crops{
      {0, 0, 0, false},           {1, -2, -3, true},           {1, 3, 4, false},
      {0, -9, 40, true},          {0, 1, 1, true, 1, 3, 0, 2}, {1, 0, 1, false, -5, 2, 3, 90},
      {0, 0, 0, true, 1, 3, 2, 1}};
  Tensor out = poisoned({7, 3, 4, 3});
  cpu_backend().crop_images(images, crops, mean, std, out);
  const auto results = out.to_vector<float>();
  std::size_t i = 0;
  for (const Crop& crop : crops) {
    for (int y = 0; y < 3; ++y) {
      for (int x = 0; x < 4; ++x) {
        const int row = crop.top + y, column = crop.left + (crop.flip ? 3 - x : x);
        const bool inside = row >= 0 && row < 4 && column >= 0 && column < 5;
        const bool cut = y >= crop.cut_top && y < crop.cut_bottom && x >= crop.cut_left && x < crop.cut_right;
        for (int c = 0; c < 3; ++c, ++i) {
          const auto channel = static_cast<std::size_t>(c);
          const int at = ((crop.source * 4 + row) * 5 + column) * 3 + c;
          const float pixel = inside ? static_cast<float>(pixels[static_cast<std::size_t>(at)]) : 0;
          CHECK(results[i] == (cut ? 0 : (pixel / 255.0f - mean[channel]) / std[channel]));
        }
      }
    }
  }
  const std::vector<Crop> beyond{{2, 0, 0, false}};
  Tensor one = poisoned({1, 3, 4, 3});
  CHECK_THROWS_AS(cpu_backend().crop_images(images, beyond, mean, std, one), Error);
}

TEST_CASE("a label out of range is an error that names the row") {
  const Tensor logits = random({2, 3}, 1);
  Tensor losses = poisoned({2}), p = poisoned({2, 3});
  for (const std::int32_t label : {-1, 3}) {
    const Tensor labels = Tensor::from<std::int32_t>({0, label}, {2});
    try {
      cpu_backend().cross_entropy(logits, labels, 0, losses, p);
      FAIL("the label was accepted");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(fmt::format("label {} in row 1", label)) != std::string::npos);
    }
    CHECK_THROWS_AS(cpu_backend().one_hot(labels, 0, p), Error);
  }
}

TEST_CASE("cross-entropy of extreme logits is finite") {
  const Tensor labels = Tensor::from<std::int32_t>({0, 1}, {2});
  Tensor losses = poisoned({2}), p = poisoned({2, 2});
  cpu_backend().cross_entropy(Tensor::from<float>({1e4f, -1e4f, 3e38f, 3e38f}, {2, 2}), labels, 0, losses, p);
  CHECK(losses.to_vector<float>()[0] == 0);
  CHECK(std::abs(losses.to_vector<float>()[1]) < 1);
  const float masked = -HUGE_VALF;
  cpu_backend().cross_entropy(Tensor::from<float>({1, masked, masked, 2}, {2, 2}), labels, 0, losses, p);
  CHECK(losses.to_vector<float>() == std::vector<float>{0, 0});
}

}  // namespace lamina::tests
