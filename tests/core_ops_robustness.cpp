// Every row of the op table under hard conditions: memory full of NaN, a NaN among the inputs, other numbers
// of threads, another device. And fused ops against their compositions.
#include "catch.h"
#include "core/backend.h"
#include "core/memory/allocator.h"
#include "op_inputs.h"

namespace lamina::tests {
namespace {

struct Threads {
  int before = threads();
  explicit Threads(int n) { set_threads(n); }
  ~Threads() { set_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

// Fills what is free in the CPU's allocator with 0xFF: NaN in f32 and f64, -1 in i32.
void poison_cache() {
  Allocator& allocator = cpu_backend().allocator();
  std::vector<Tensor> held;  // so that each request takes another block
  const auto cached = static_cast<std::int64_t>(allocator.use().cached_bytes);
  for (std::int64_t bytes = std::int64_t{1} << 40; bytes >= 64; bytes /= 2) {
    if (bytes > cached) continue;
    std::size_t before = 0;
    do {  // until the memory grows: then no free block is as large
      before = allocator.use().live_bytes + allocator.use().cached_bytes;
      held.push_back(Tensor::empty({bytes}, {DType::u8}));
      std::memset(held.back().raw(), 0xFF, held.back().bytes());
    } while (allocator.use().live_bytes + allocator.use().cached_bytes == before);
  }
  REQUIRE(allocator.use().cached_bytes == 0);
}

bool holds_nan(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return false;
  const Array array = array_of(tensor);
  return std::any_of(array.values.begin(), array.values.end(), [](double v) { return std::isnan(v); });
}

}  // namespace

TEST_CASE("poisoned memory reaches new tensors", "[ops]") {
  cpu_backend().allocator().empty_cache();
  { const Tensor released = Tensor::zeros({123}); }
  poison_cache();
  CHECK(holds_nan(Tensor::empty({123})));
}

TEST_CASE("every element of every output is written", "[ops][poison]") {
  const Threads one(1);
  for (const OpCase& row : op_cases()) {
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, 0);
    cpu_backend().allocator().empty_cache();
    const auto clean = bytes_of(all_results(row, arrays, DType::f32));
    poison_cache();
    const Tensors results = all_results(row, arrays, DType::f32);
    for (const Tensor& result : results) CHECK_FALSE(holds_nan(result));
    CHECK(bytes_of(results) == clean);
  }
}

TEST_CASE("a NaN among the inputs shows in the output", "[ops][nan]") {
  const Threads one(1);
  for (const OpCase& row : op_cases())
    for (std::size_t i = 0; i < row.inputs.size(); ++i) {
      if (row.inputs[i].classes > 0) continue;
      INFO(row.name() << ", NaN in input " << i);
      Arrays arrays = draw_inputs(row, 0);
      arrays[i].values[arrays[i].values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      const Array reference = row.reference(arrays);
      for (const DType dtype : {DType::f64, DType::f32}) {
        if (row.large && dtype == DType::f64) continue;
        const Array value = array_of(row.apply(tensors_of(row, arrays, dtype)));
        std::size_t hidden = 0;
        for (std::size_t e = 0; e < reference.values.size(); ++e)
          hidden += std::isnan(reference.values[e]) && !std::isnan(value.values[e]);
        CHECK(hidden == 0);
      }
    }
}

TEST_CASE("any number of threads gives the same bits", "[ops][threads]") {
  for (const OpCase& row : op_cases()) {
    if (!row.large) continue;  // the small rows fit in one chunk of work
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, 0);
    const auto results = [&](int n) {
      const Threads guard(n);
      return bytes_of(all_results(row, arrays, DType::f32));
    };
    const auto one = results(1);
    CHECK(results(2) == one);
    CHECK(results(4) == one);
  }
}

TEST_CASE("fused batch norm equals its composition, values and gradients", "[ops][fused]") {
  const Threads one(1);
  const Rows rows = op_cases();
  std::size_t compared = 0;
  for (const OpCase& fused : rows) {
    if (fused.op != "batch_norm") continue;
    const auto composed = std::find_if(rows.begin(), rows.end(), [&](const OpCase& row) {
      return row.op == "batch_norm_composed" && row.name() == "batch_norm_composed" + fused.name().substr(10);
    });
    REQUIRE(composed != rows.end());
    INFO(fused.name());
    const Arrays arrays = draw_inputs(fused, 0);
    const Tensors a = all_results(fused, arrays, DType::f64), b = all_results(*composed, arrays, DType::f64);
    REQUIRE(a.size() == b.size());
    // Sums of 1300 rows in f64, and a difference of nearly equal terms in the gradient.
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(relative_error(a[i], b[i]) <= 1e-11);
    ++compared;
  }
  CHECK(compared >= 30);
}

TEST_CASE("batch norm moves its running statistics in training only", "[ops]") {
  const Array x_values = [] {
    Draw draw(3);
    return draw_array(values({3, 5, 4, 6}), draw);
  }();
  const Tensor x = tensor_of<double>(x_values);
  const auto params = [] {
    return BatchNormParams{Tensor::full({6}, 1, {DType::f64}), Tensor::full({6}, 0, {DType::f64}),
                           Tensor::full({6}, 0.5, {DType::f64}), Tensor::full({6}, 2, {DType::f64})};
  };
  const BatchNormParams trained = params();
  batch_norm(x, trained, {.momentum = 0.25});
  const naive::Statistics batch = naive::channel_statistics(x_values);
  for (std::size_t c = 0; c < 6; ++c) {
    const double unbiased = batch.var[c] * 60 / 59;
    // A handful of roundings of numbers near 1.
    CHECK(std::abs(trained.running_mean.to_vector<double>()[c] - (0.75 * 0.5 + 0.25 * batch.mean[c])) <
          1e-14);
    CHECK(std::abs(trained.running_var.to_vector<double>()[c] - (0.75 * 2 + 0.25 * unbiased)) < 1e-14);
  }
  const BatchNormParams evaluated = params();
  batch_norm(x, evaluated, {.training = false});
  CHECK(evaluated.running_mean.to_vector<double>() == std::vector<double>(6, 0.5));
  CHECK(evaluated.running_var.to_vector<double>() == std::vector<double>(6, 2.0));
}

TEST_CASE("the first of equals wins, and a NaN beats everything", "[ops]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = Tensor::from<double>({1, 3, 3, 0, nan, 5, -1, nan, nan}, {3, 3});
  CHECK(argmax(x).to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 1, 1});

  const Tensor image = Tensor::full({1, 2, 2, 1}, 7, {DType::f64}).requires_grad_();
  sum(max_pool2d(image)).backward();
  CHECK(image.grad().to_vector<double>() == std::vector<double>{1, 0, 0, 0});
}

TEST_CASE("slices keep integers", "[ops]") {
  const Tensor x = Tensor::from<std::int32_t>({0, 1, 2, 3, 4, 5, 6}, {7});
  CHECK(slice(x, {.axis = 0, .start = 1, .count = 3, .step = 2}).to_vector<std::int32_t>() ==
        std::vector<std::int32_t>{1, 3, 5});
  CHECK(reshape(x, {7, 1}).shape() == Shape{7, 1});
}

}  // namespace lamina::tests
