// CUDA's elementwise kernels and reductions where the table of op cases does not reach: bf16, sums of many
// parts, poisoned memory, NaN, refused dtypes.
#include <algorithm>
#include <bit>
#include <cmath>

#include "bf16_tensors.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

// Every function, and a range in which it and its derivatives are finite.
struct Function {
  math::Unary function;
  double low = -2;
};
const std::vector<Function> functions{{math::Relu{}},
                                      {math::Sigmoid{}},
                                      {math::Tanh{}},
                                      {math::Silu{}},
                                      {math::Gelu{}},
                                      {math::Exp{}},
                                      {math::Log{}, 0.25},
                                      {math::Sqrt{}, 0.25},
                                      {math::Square{}},
                                      {math::Reciprocal{}, 0.25},
                                      {math::Abs{}},
                                      {math::Sign{}},
                                      {math::Sin{}},
                                      {math::Cos{}},
                                      {math::Pow{3}},
                                      {math::Clamp{-0.5, 0.75}},
                                      {math::Affine{-2.5, 0.75}}};
static_assert(std::variant_size_v<math::Unary> == 17);

const char* name_of_function(const math::Unary& function) {
  return std::visit([](const auto& f) { return f.name; }, function);
}

}  // namespace

TEST_CASE("the same op twice gives the same bits on CUDA", "[cuda][ops]") {
  for (const OpCase& row : op_cases()) {
    if (row.op == "cast") continue;
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, 0);
    const auto results = [&] { return bytes_of(all_results(row, arrays, DType::f32, Device::cuda())); };
    CHECK(results() == results());
  }
}

TEST_CASE("a NaN among the inputs shows on CUDA where it shows on the CPU", "[cuda][nan]") {
  const bool emulated = cuda_libraries().front() == "the CPU's convolutions and products";
  for (const OpCase& row : op_cases())
    for (std::size_t i = 0; i < row.inputs.size(); ++i) {
      if (row.inputs[i].classes > 0 || row.op == "cast") continue;
      INFO(row.name() << ", NaN in input " << i);
      Arrays arrays = draw_inputs(row, 0);
      arrays[i].values[arrays[i].values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      const auto value = [&](Device device) {
        return row.apply(tensors_of(row, arrays, DType::f32, device)).detach();
      };
      const Tensor cpu = value(Device::cpu()), cuda = value(Device::cuda());
      if (!is_floating(cpu.dtype())) continue;
      const std::vector<bool> expected = nan_mask(cpu), found = nan_mask(cuda);
      if (emulated || row.op.find("conv2d") == std::string::npos) {
        CHECK(found == expected);
      } else {  // how far it spreads depends on cuDNN's algorithm: by tiles, by zeros of the padding
        const auto any = [](const std::vector<bool>& mask) {
          return std::count(mask.begin(), mask.end(), true) > 0;
        };
        CHECK((any(found) || !any(expected)));
      }
    }
}

TEST_CASE("elementwise functions and their derivatives in bf16", "[cuda][bf16]") {
  for (const Shape& shape : {Shape{}, Shape{3, 7, 11}, Shape{20'011}})
    for (const Function& f : functions) {
      INFO(name_of_function(f.function) << shape.str());
      const Tensor x = draw_exact(shape, 1, f.low), grad = draw_exact(shape, 2);
      Tensor y = on_gpu(shape, DType::bf16), expected = Tensor::empty(shape);
      gpu().unary(f.function, to_bf16(x), y);
      cpu_backend().unary(f.function, x, expected);
      CHECK(beyond_rounding(y, expected) == 0);
      gpu().unary_grad(f.function, to_bf16(x), to_bf16(grad), y);
      cpu_backend().unary_grad(f.function, x, grad, expected);
      CHECK(beyond_rounding(y, expected) == 0);
      gpu().unary_grad_grad(f.function, to_bf16(x), to_bf16(grad), y);
      cpu_backend().unary_grad_grad(f.function, x, grad, expected);
      CHECK(beyond_rounding(y, expected) == 0);
    }
}

TEST_CASE("binary functions in bf16, with broadcasting", "[cuda][bf16]") {
  const std::vector<std::pair<Shape, Shape>> shapes{{{61, 33, 5}, {61, 33, 5}},
                                                    {{61, 33, 5}, {5}},
                                                    {{61, 33, 5}, {61, 1, 1}},
                                                    {{2, 1, 4}, {3, 1}},
                                                    {{}, {7}}};
  for (const auto& [left, right] : shapes)
    for (const math::Binary& function : {math::Binary(math::Add{}), math::Binary(math::Sub{}),
                                         math::Binary(math::Mul{}), math::Binary(math::Div{})}) {
      INFO(std::visit([](const auto& f) { return f.name; }, function) << left.str() << right.str());
      const Shape shape = broadcast(left, right, "test");
      const Tensor a = draw_exact(left, 1), b = draw_exact(right, 2, 0.5);
      Tensor out = on_gpu(shape, DType::bf16), expected = Tensor::empty(shape);
      gpu().binary(function, to_bf16(a), to_bf16(b), out);
      cpu_backend().binary(function, a, b, expected);
      CHECK(beyond_rounding(out, expected) == 0);
    }
}

TEST_CASE("bf16 is filled, cast and accumulated", "[cuda][bf16]") {
  const Shape shape{3, 67, 11};
  const Tensor x = draw_exact(shape, 1), more = draw_exact(shape, 2);
  Tensor narrow = on_gpu(shape, DType::bf16), wide = on_gpu(shape), ints = on_gpu(shape, DType::i32);
  gpu().cast(x.to(Device::cuda()), narrow);
  CHECK(same_bits(narrow, to_bf16(x)));
  gpu().cast(narrow, wide);
  CHECK(same_bits(wide, x));
  gpu().cast(narrow, ints);
  Tensor expected_ints = Tensor::empty(shape, {DType::i32});
  cpu_backend().cast(x, expected_ints);
  CHECK(same_bits(ints, expected_ints));

  Tensor total = to_bf16(x), expected = x.clone();
  gpu().accumulate(to_bf16(more), total);
  cpu_backend().accumulate(more, expected);
  CHECK(beyond_rounding(total, expected) == 0);

  gpu().fill(narrow, 1.00390625);  // 1 + 2^-8: a tie
  CHECK(same_bits(narrow, to_bf16(Tensor::full(shape, 1))));
}

TEST_CASE("a GPU rounds to bf16 as the host does", "[cuda][bf16]") {
  std::vector<float> values{0.0f, -0.0f, 1e-45f, -1e-40f, HUGE_VALF, -HUGE_VALF, 0x1.fep127f, -0x1.ffp127f};
  Draw draw(11);
  for (const float about : {1.0f, -3.0f, 0x1p-126f, 0x1p-130f, 0x1.fcp127f})
    for (int i = 0; i < 40; ++i) {  // ties among them, to an even and to an odd neighbour
      const auto bits = std::bit_cast<std::uint32_t>(about) + 0x8000u * static_cast<std::uint32_t>(i);
      for (const std::uint32_t beside : {0u, 1u, ~0u, static_cast<std::uint32_t>(draw.below(0x8000))})
        values.push_back(std::bit_cast<float>(bits + beside));
    }
  const auto count = std::ssize(values);
  for (const std::int64_t size : {count, count - 1}) {  // by packs, and by elements
    const Tensor x = Tensor::from(std::vector<float>(values.begin(), values.begin() + size), {size});
    Tensor narrow = on_gpu({size}, DType::bf16);
    gpu().cast(x.to(Device::cuda()), narrow);
    CHECK(same_bits(narrow, to_bf16(x)));
  }
  Tensor nan = on_gpu({8}, DType::bf16);
  gpu().cast(Tensor::full({8}, not_a_number, {.device = Device::cuda()}), nan);
  CHECK(nan_mask(nan) == std::vector<bool>(8, true));  // of any sign and payload
}

TEST_CASE("many tensors are added to as many totals at once", "[cuda][bf16]") {
  Tensor flat = on_gpu({4096});
  const Tensor flat_expected = Tensor::zeros({4096});
  std::vector<Backend::Accumulation> sums, expected;
  gpu().fill(flat, 0);
  const auto add = [&](const Tensor& x, const Tensor& total) {  // x as it is, or in bf16
    const bool narrow = sums.size() % 2 == 1;
    sums.push_back({narrow ? to_bf16(x) : x.to(Device::cuda()), total.to(Device::cuda())});
    expected.push_back({x, total});
  };
  for (std::uint32_t i = 0; i < 300; ++i) {  // more than one kernel takes
    const Shape shape{i % 7 == 3 ? 0 : 1 + 37 * (i % 11)};
    add(draw_exact(shape, 2 * i), draw_exact(shape, 2 * i + 1));
  }
  for (const std::int64_t offset : {16, 1029}) {  // one where four elements are loaded at once, one where not
    for (const std::int64_t place : {offset, offset + 300}) {
      add(draw_exact({50}, 7), Tensor::zeros({50}));
      sums.back().total = flat.flat(place, {50});
      expected.back().total = flat_expected.flat(place, {50});
    }
  }
  gpu().accumulate_all(sums);
  cpu_backend().accumulate_all(expected);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    INFO(i << " " << sums[i].x.str());
    CHECK(same_bits(sums[i].total, expected[i].total));
  }
  CHECK(same_bits(flat, flat_expected));  // nothing beside them
}

TEST_CASE("a leaf on a GPU gets the gradients of all its uses, bf16 ones in f32", "[cuda][bf16]") {
  const auto gradients = [](Device device, DType dtype) {
    Tensor arena = Tensor::full({40}, 0.25, {.device = device});
    Tensor a = draw_exact({6}, 1).to(device).requires_grad_(),
           b = draw_exact({6}, 2).to(device).requires_grad_();
    a.bind_grad(arena.flat(0, {6})), b.bind_grad(arena.flat(16, {6}));
    const auto used = [&](const Tensor& x) { return cast(x, dtype); };
    (sum(cast(used(a) * used(a), DType::f32)) + sum(b * b) + sum(cast(used(b), DType::f32))).backward();
    return arena;
  };
  // bf16 is exact for what draw_exact gives, and for its double.
  CHECK(same_bits(gradients(Device::cuda(), DType::bf16), gradients(Device::cpu(), DType::f32)));
  Tensor x = to_bf16(draw_exact({6}, 1));
  Tensor w = draw_exact({6}, 2).to(Device::cuda()).requires_grad_();
  w.bind_grad(Tensor::zeros({6}, w.options()));
  const Tensor loss = sum(cast(x * cast(w, DType::bf16), DType::f32));
  CHECK(grad(loss, std::span(&w, 1))[0].dtype() == DType::f32);  // of a result, not of what is added up
}

TEST_CASE("all_finite finds one NaN or Inf anywhere in bf16", "[cuda][bf16]") {
  const Tensor x = draw_exact({50'001}, 8);
  CHECK(gpu().all_finite(to_bf16(x)));
  CHECK(gpu().all_finite(to_bf16(Tensor::full({3}, 0x1.fep127))));
  for (const std::int64_t at : {0, 8191, 8192, 50'000})
    for (const float bad : {not_a_number, HUGE_VALF, -HUGE_VALF}) {
      CAPTURE(at, bad);
      Tensor spoilt = x.clone();
      spoilt.data<float>()[at] = bad;
      CHECK_FALSE(gpu().all_finite(to_bf16(spoilt)));
      CHECK_FALSE(gpu().all_finite(spoilt.to(Device::cuda())));
    }
}

TEST_CASE("sums of one and of many parts, and their inverse", "[cuda][bf16]") {
  // One part has 16 rows of a thread: 4096 in columns of one, 128 in those of 32. There are 264 parts at
  // most, and one of each row where there are 133 rows: a thread then adds up more than the 32 terms that go
  // into a float.
  const std::vector<std::pair<Shape, Shape>> shapes{{{1, 70'001}, {}},
                                                    {{4096}, {}},
                                                    {{4097}, {}},
                                                    {{1'100'003}, {}},
                                                    {{9001, 37}, {37}},
                                                    {{128, 33}, {1, 33}},
                                                    {{129, 32}, {32}},
                                                    {{3, 5003, 5}, {5}},
                                                    {{2, 40'000}, {2, 1}},
                                                    {{133, 9001}, {133, 1}},
                                                    {{7, 33, 35, 19}, {19}},
                                                    {{7, 33, 35, 19}, {}},
                                                    {{7, 33, 35, 19}, {33, 1, 1}},
                                                    {{7, 33, 35, 19}, {7, 1, 1, 19}}};
  for (const auto& [from, to] : shapes) {
    INFO(from.str() << " to " << to.str());
    const Tensor x = draw_exact(from, 1);
    Tensor expected = Tensor::empty(to), sum = on_gpu(to), narrow = on_gpu(to, DType::bf16);
    cpu_backend().sum_to(x, expected);
    gpu().sum_to(x.to(Device::cuda()), sum);
    CHECK(same_bits(sum, expected));  // no sum of these numbers rounds
    gpu().sum_to(to_bf16(x), narrow);
    CHECK(same_bits(narrow, to_bf16(expected)));

    const Tensor small = draw_exact(to, 2);
    Tensor wide = on_gpu(from, DType::bf16), repeated = Tensor::empty(from);
    gpu().broadcast_to(to_bf16(small), wide);
    cpu_backend().broadcast_to(small, repeated);
    CHECK(same_bits(wide, to_bf16(repeated)));
  }
}

TEST_CASE("a sum of many f32 terms keeps its digits on CUDA", "[cuda]") {
  const Tensor x = Tensor::full({3, 1'000'000}, 0.1, {DType::f32, Device::cuda()});
  for (const Shape& shape : {Shape{}, Shape{3, 1}}) {
    Tensor total = on_gpu(shape);
    gpu().sum_to(x, total);
    const double expected = 0.1f * 3e6 / static_cast<double>(total.elements());
    // A thread adds 32 equal terms in f32: each rounding is 2^-24 of the sum so far, 16 of the last at most.
    CHECK(std::abs(total.to_vector<float>()[0] - expected) < 16 * 0x1p-24 * expected);
  }
}

TEST_CASE("argmax in bf16: the first of equals, a NaN wins", "[cuda][bf16]") {
  Tensor x = draw_exact({517, 13}, 3, -0.1, 0.1);  // 13 values per row, many of them equal
  x.data<float>()[4 * 13 + 7] = not_a_number;
  Tensor index = on_gpu({517}, DType::i32), expected = Tensor::empty({517}, {DType::i32});
  gpu().argmax(to_bf16(x), index);
  cpu_backend().argmax(x, expected);
  CHECK(same_bits(index, expected));
  CHECK(expected.data<std::int32_t>()[4] == 7);
}

TEST_CASE("the largest few of a row: NaNs first, of equals the first", "[cuda][bf16]") {
  Tensor x = draw_exact({37, 41}, 3, -0.1, 0.1);  // 13 values per row
  for (const std::int64_t at : {4 * 41 + 7, 4 * 41 + 30, 5 * 41}) x.data<float>()[at] = not_a_number;
  for (const std::int64_t k : {1, 5, 41}) {
    Tensor found = on_gpu({37, k}, DType::i32), expected = Tensor::empty({37, k}, {DType::i32});
    cpu_backend().top_k(x, expected);
    gpu().top_k(x.to(Device::cuda()), found);
    CHECK(same_bits(found, expected));
    gpu().top_k(to_bf16(x), found);
    CHECK(same_bits(found, expected));
    CHECK(expected.data<std::int32_t>()[4 * k] == 7);
  }
}

TEST_CASE("f64 is refused on CUDA, with the reason", "[cuda][errors]") {
  const TensorOptions f64{DType::f64, Device::cuda()};
  Tensor x = Tensor::empty({1, 2, 2, 2}, f64), y = Tensor::empty({1, 1, 1, 2}, f64),
         vector = Tensor::empty({2}, f64), rows = Tensor::empty({2, 2}, f64),
         index = on_gpu({1, 1, 1, 2}, DType::i32), none;
  const Tensor labels = on_gpu({2}, DType::i32), bytes = on_gpu({1, 2, 2, 2}, DType::u8);
  const std::vector<Crop> crops(1);
  const std::vector<float> ones(2, 1);
  const auto refused = [](const char* operation, const auto& call) {
    CHECK(unexplained(call, {operation, "f64", "CUDA", "expected f32 or bf16"}) == "nothing");
  };
  refused("fill", [&] { gpu().fill(x, 0); });
  refused("cast", [&] { gpu().cast(on_gpu({2, 2}), rows); });
  refused("relu", [&] { gpu().unary(math::Relu{}, x, x); });
  refused("relu", [&] { gpu().unary_grad(math::Relu{}, x, x, x); });
  refused("relu", [&] { gpu().unary_grad_grad(math::Relu{}, x, x, x); });
  refused("add", [&] { gpu().binary(math::Add{}, x, x, x); });
  refused("accumulate", [&] { gpu().accumulate(x, x); });
  refused("sum_to", [&] { gpu().sum_to(x, vector); });
  refused("broadcast_to", [&] { gpu().broadcast_to(vector, x); });
  refused("argmax", [&] { gpu().argmax(rows, index); });
  refused("all_finite", [&] { gpu().all_finite(x); });
  refused("max_pool2d", [&] { gpu().max_pool2d(x, {}, y, index); });
  refused("max_pool2d_scatter", [&] { gpu().max_pool2d_scatter(y, index, {}, x); });
  refused("max_pool2d_gather", [&] { gpu().max_pool2d_gather(x, index, y); });
  refused("softmax", [&] { gpu().softmax(rows, rows); });
  refused("cross_entropy", [&] { gpu().cross_entropy(rows, labels, 0, vector, rows); });
  refused("cross_entropy_grad", [&] { gpu().cross_entropy_grad(vector, rows, labels, 0, rows); });
  refused("one_hot", [&] { gpu().one_hot(labels, 0, rows); });
  refused("crop_images", [&] { gpu().crop_images(bytes, crops, ones, ones, x); });
  const BatchNormParams params{vector, vector, vector, vector};
  refused("batch_norm", [&] { gpu().batch_norm(x, params, none, {}, x, vector, vector); });
  refused("batch_norm_inference",
          [&] { gpu().batch_norm_inference(x, params, none, {}, x, vector, vector); });
  refused("batch_norm_again", [&] { gpu().batch_norm_again(x, params, none, {}, vector, vector, x); });
  refused("batch_norm_grad",
          [&] { gpu().batch_norm_grad(x, x, none, params, vector, vector, {}, x, vector, vector, none); });
}

}  // namespace lamina::tests
