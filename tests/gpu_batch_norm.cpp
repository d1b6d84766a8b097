// CUDA's batch normalisation where the table of op cases does not reach: in bf16, with several parts, odd
// extents and NaN; in one launch and in several.
#include <cmath>

#include "batch_norm_results.h"
#include "bf16_tensors.h"
#include "core/captured.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

// What f32 arithmetic in another order may add to statistics and their gradients: 32 terms are summed in f32,
// 32 roundings of 2^-24 of the sum of their magnitudes, which is at most a few times the result here.
constexpr double sum_rounding = 1e-5;

// Batch normalisation of the same numbers on both devices, all that it makes.
struct BatchNorm {
  Tensor y, mean, inv_std;
  BatchNormParams params;

  BatchNorm(const Tensor& x, const Tensor& residual, const BatchNormOptions& options) {
    const Shape channels{x.shape().back()};
    const TensorOptions f32{DType::f32, x.device()};
    y = Tensor::empty_like(x), mean = Tensor::empty(channels, f32), inv_std = Tensor::empty(channels, f32);
    params = batch_norm_params(x);
    Backend& backend = backend_for(x.device());
    if (options.training) {
      backend.batch_norm(x, params, residual, options, y, mean, inv_std);
    } else {
      backend.batch_norm_inference(x, params, residual, options, y, mean, inv_std);
    }
  }
  Tensor again(const Tensor& x, const Tensor& residual, const BatchNormOptions& options) const {
    Tensor made = Tensor::empty_like(x);
    backend_for(x.device()).batch_norm_again(x, params, residual, options, mean, inv_std, made);
    return made;
  }
};

struct BatchNormGradients {
  Tensor x, weight, bias, residual;

  BatchNormGradients(const Tensor& grad, const Tensor& inputs, const Tensor& y, const Tensor& mean,
                     const Tensor& inv_std, const BatchNormOptions& options, bool wants_residual) {
    const TensorOptions f32{DType::f32, inputs.device()};
    x = Tensor::empty_like(inputs), weight = Tensor::empty(mean.shape(), f32);
    bias = Tensor::empty(mean.shape(), f32);
    if (wants_residual) residual = Tensor::empty_like(inputs);
    backend_for(inputs.device())
        .batch_norm_grad(grad, inputs, y, batch_norm_params(inputs), mean, inv_std, options, x, weight, bias,
                         residual);
  }
};

void compare_batch_norm(const Shape& shape, const BatchNormOptions& options, bool with_residual) {
  INFO(shape.str() << " relu=" << options.relu << " training=" << options.training
                   << " residual=" << with_residual);
  const Tensor x = draw_exact(shape, 1), grad = draw_exact(shape, 3);
  const Tensor residual = with_residual ? draw_exact(shape, 2) : Tensor();
  const BatchNorm cpu(x, residual, options);
  const BatchNorm cuda(to_bf16(x), with_residual ? to_bf16(residual) : Tensor(), options);
  CHECK(same_bits(cpu.again(x, residual, options), cpu.y));
  CHECK(same_bits(cuda.again(to_bf16(x), with_residual ? to_bf16(residual) : Tensor(), options), cuda.y));
  CHECK(beyond_rounding(cuda.y, cpu.y, sum_rounding) == 0);
  CHECK(relative_error(cuda.mean, cpu.mean) <= sum_rounding);
  CHECK(relative_error(cuda.inv_std, cpu.inv_std) <= sum_rounding);
  CHECK(relative_error(cuda.params.running_mean, cpu.params.running_mean) <= sum_rounding);
  CHECK(relative_error(cuda.params.running_var, cpu.params.running_var) <= sum_rounding);

  // From the same statistics and the same y, so that both have the same mask.
  const Tensor y = options.relu && with_residual ? to_bf16(cpu.y) : Tensor();
  const BatchNormGradients expected(grad, x, y.defined() ? to_f32(y) : y, cpu.mean, cpu.inv_std, options,
                                    with_residual);
  const BatchNormGradients found(to_bf16(grad), to_bf16(x), y, cpu.mean.to(Device::cuda()),
                                 cpu.inv_std.to(Device::cuda()), options, with_residual);
  CHECK(beyond_rounding(found.x, expected.x, sum_rounding) == 0);
  CHECK(relative_error(found.weight, expected.weight) <= sum_rounding);
  CHECK(relative_error(found.bias, expected.bias) <= sum_rounding);
  if (with_residual) CHECK(same_bits(found.residual, to_bf16(expected.residual)));
}

}  // namespace

TEST_CASE("batch norm in bf16, with statistics in f32", "[cuda][bf16]") {
  // One part has 16 rows of a thread: 1024 of 4 packs or of 3 channels, 4096 of one channel.
  for (const Shape& shape : {Shape{2, 37}, Shape{7, 3, 5, 33}, Shape{257, 32}, Shape{1024, 32},
                             Shape{3001, 32}, Shape{5003, 3}, Shape{4097, 1}})
    for (const bool training : {true, false})
      for (const bool relu : {true, false})
        for (const bool with_residual : {true, false})
          compare_batch_norm(shape, {.training = training, .relu = relu}, with_residual);
}

TEST_CASE("the ReLU's mask is the same from x as from the y that was stored", "[cuda][bf16]") {
  const Shape shape{1003, 24};
  const Tensor x = draw_exact(shape, 1), grad = draw_exact(shape, 3);
  for (const double tiny : {1.0, 0x1p-133}) {  // the smaller: half of the outputs underflow to 0 in bf16
    Tensor weight = draw_exact({24}, 101, 0.5), bias = draw_exact({24}, 102);
    for (std::size_t c = 0; c < 24; ++c) {
      weight.data<float>()[c] *= static_cast<float>(tiny);
      bias.data<float>()[c] *= static_cast<float>(tiny);
    }
    weight = weight.to(Device::cuda()), bias = bias.to(Device::cuda());
    for (const Tensor& values : {x.to(Device::cuda()), to_bf16(x)}) {
      CAPTURE(tiny, values.str());
      const Tensor none, from_above = values.dtype() == DType::bf16 ? to_bf16(grad) : grad.to(Device::cuda());
      const BatchNormOptions options{.relu = true};
      Tensor y = Tensor::empty_like(values), mean = on_gpu({24}), inv_std = on_gpu({24});
      const BatchNormParams params{weight, bias, Tensor::zeros_like(mean), Tensor::zeros_like(mean)};
      gpu().batch_norm(values, params, none, options, y, mean, inv_std);
      const auto gradients = [&](const Tensor& masks) {
        Tensors out{Tensor::empty_like(values), on_gpu({24}), on_gpu({24}), Tensor::empty_like(values)};
        gpu().batch_norm_grad(from_above, values, masks, params, mean, inv_std, options, out[0], out[1],
                              out[2], out[3]);
        return out;
      };
      CHECK(bytes_of(gradients(y)) == bytes_of(gradients(none)));
      const std::vector<float> outputs = to_f32(y).to_vector<float>();
      const auto zeros = std::count(outputs.begin(), outputs.end(), 0.0f);
      CHECK(zeros > 5000);
      CHECK(zeros < 20'000);
    }
  }
}

TEST_CASE("the variance survives a mean far larger than the deviation, on CUDA", "[cuda]") {
  // 10,000 + the values -1, 0, 1, 2 in turn: mean 0.5 and variance 1.25 by hand.
  Tensor x = Tensor::empty({40'000, 5});
  for (std::int64_t i = 0; i < x.elements(); ++i) x.data<float>()[i] = static_cast<float>(9999 + i / 5 % 4);
  const BatchNorm r(x.to(Device::cuda()), {}, {.momentum = 1, .eps = 0});
  for (std::size_t c = 0; c < 5; ++c) {
    // f32 holds 10,000 to 5e-4; 32 squares are summed in f32: 2e-6 relative.
    CHECK(std::abs(r.mean.to_vector<float>()[c] - 10'000.5) < 6e-4);
    CHECK(std::abs(r.inv_std.to_vector<float>()[c] * std::sqrt(1.25) - 1) < 2e-6);
    CHECK(std::abs(r.params.running_var.to_vector<float>()[c] / (1.25 * 40'000 / 39'999) - 1) < 4e-6);
  }
}

TEST_CASE("a NaN stays in its channel of batch norm, in bf16", "[cuda][bf16][nan]") {
  Tensor x = draw_exact({100, 4}, 1);
  x.data<float>()[50 * 4 + 2] = not_a_number;
  const BatchNormOptions options{.relu = true};
  const Tensor values = to_bf16(x);
  const BatchNorm r(values, {}, options);
  const BatchNormGradients g(values, values, {}, r.mean, r.inv_std, options, true);
  for (const Tensor& t : {r.mean, r.inv_std, r.params.running_mean, r.params.running_var, g.weight, g.bias})
    CHECK(nan_mask(t) == std::vector<bool>{false, false, true, false});
  std::vector<bool> third_channel(400);
  for (std::size_t i = 2; i < 400; i += 4) third_channel[i] = true;
  for (const Tensor& t : {r.y, g.x, g.residual}) CHECK(nan_mask(t) == third_channel);
}

TEST_CASE("batch norm has the same bits in one launch as in several", "[cuda][bf16]") {
  // Parts: one; several, of columns alone and of many; more blocks than are on a GPU at once.
  for (const Shape& shape :
       {Shape{2, 37}, Shape{1024, 32}, Shape{3001, 32}, Shape{5003, 3}, Shape{16'500, 64}, Shape{8, 70'400}})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const bool relu : {true, false})
        for (const bool with_residual : {true, false}) {
          INFO(shape.str() << " " << name_of(dtype) << " relu=" << relu << " residual=" << with_residual);
          const BatchNormCase row{shape, dtype, relu, with_residual};
          const auto together = batch_norm_results(row);
          const SeparateLaunches separate;
          CHECK(batch_norm_results(row) == together);
        }
}

TEST_CASE("batch norm that is captured and replayed has the bits of several launches",
          "[cuda][bf16][captured]") {
  const auto run = [&](bool capture) {
    const Tensor first = to_bf16(draw_exact({3001, 32}, 0)), none;
    const BatchNormParams params = batch_norm_params(first);
    Tensor inner = Tensor::empty_like(first), y = Tensor::empty_like(first);
    Tensor mean = on_gpu({32}), inv_std = on_gpu({32});
    const BatchNormOptions options{.relu = true};
    Captured step(first.device(),
                  [&](const Tensor& x) {
                    gpu().batch_norm(x, params, none, options, inner, mean, inv_std);
                    gpu().batch_norm(inner, params, x, options, y, mean, inv_std);
                  },
                  {.capture = capture});
    std::vector<std::vector<std::byte>> seen;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      step.run(to_bf16(draw_exact({3001, 32}, seed)));
      for (const Tensor& t : {y, mean, inv_std, params.running_mean, params.running_var})
        seen.push_back(bytes_of(t));
    }
    return seen;
  };
  const auto captured = run(true);
  CHECK(captured[0] != captured[5]);
  CHECK(run(false) == captured);
  const SeparateLaunches separate;
  CHECK(run(true) == captured);
}

TEST_CASE("a word for LAMINA_GPU_LAUNCHES that has no meaning is an error", "[cuda][errors]") {
  const SeparateLaunches launches("together");
  const Tensor x = draw_exact({8, 4}, 1).to(Device::cuda());
  CHECK(unexplained([&] { BatchNorm(x, {}, {}); },
                    {"LAMINA_GPU_LAUNCHES", "\"together\"", "expected nothing, or separate"}) == "nothing");
}

}  // namespace lamina::tests
