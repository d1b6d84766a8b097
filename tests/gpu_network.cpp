// CUDA's kernels for networks where the table of op cases does not reach: slices, crops, pooling, losses and
// batch normalisation in bf16, with several parts, odd extents, NaN and labels out of range.
#include <cmath>

#include "bf16_tensors.h"
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
    params = params_for(x);
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
  static BatchNormParams params_for(const Tensor& x) {
    const Shape channels{x.shape().back()};
    return {draw_exact(channels, 101, 0.5).to(x.device()), draw_exact(channels, 102).to(x.device()),
            draw_exact(channels, 103).to(x.device()), draw_exact(channels, 104, 0.5, 2).to(x.device())};
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
        .batch_norm_grad(grad, inputs, y, BatchNorm::params_for(inputs), mean, inv_std, options, x, weight,
                         bias, residual);
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

// Pixels, and crops of them that lie inside, across every edge and outside, with and without a cutout.
struct Images {
  Tensor pixels = Tensor::empty({5, 9, 7, 3}, {DType::u8});
  std::vector<Crop> crops;
  std::vector<float> mean{0.4914f, 0.4822f, 0.4465f}, std{0.247f, 0.2435f, 0.2616f};

  Images() {
    Draw draw(5);
    for (std::int64_t i = 0; i < pixels.elements(); ++i)
      pixels.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(draw.below(256));
    for (int i = 0; i < 101; ++i)
      crops.push_back({draw.below(5), static_cast<std::int16_t>(draw.below(24) - 12),
                       static_cast<std::int16_t>(draw.below(20) - 10), draw.below(2) == 1});
    for (std::size_t i = 0; i < crops.size(); i += 2) {
      Crop& crop = crops[i];
      crop.cut_top = draw.below(14) - 2, crop.cut_bottom = crop.cut_top + draw.below(9);
      crop.cut_left = draw.below(14) - 2, crop.cut_right = crop.cut_left + draw.below(9);
    }
  }
};

}  // namespace

TEST_CASE("slices of every dtype hold the same bytes on CUDA", "[cuda][bf16]") {
  for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::i32, DType::f64})
    for (const Slice& slice : {Slice{1, 0, 7, 1}, Slice{1, 1, 3, 2}, Slice{1, 2, 2, 3}, Slice{0, 2, 1, 1},
                               Slice{2, 1, 1, 1}, Slice{0, 0, 2, 2}, Slice{1, 6, 7, -1}, Slice{1, 3, 0, 1}}) {
      CAPTURE(name_of(dtype), slice.axis, slice.start, slice.count, slice.step);
      Tensor x = Tensor::empty({3, 7, 2}, {dtype}), whole = Tensor::empty(x.shape(), {dtype});
      for (std::size_t i = 0; i < x.bytes(); ++i) x.raw()[i] = static_cast<std::byte>(i * 37);
      std::memset(whole.raw(), 0x55, whole.bytes());
      Shape shape = x.shape();
      shape[slice.axis] = slice.count;
      Tensor part = Tensor::empty(shape, {dtype}), cuda_part = on_gpu(shape, dtype);
      Tensor cuda_whole = whole.to(Device::cuda());
      cpu_backend().read_slice(x, slice, part);
      gpu().read_slice(x.to(Device::cuda()), slice, cuda_part);
      CHECK(same_bits(cuda_part, part));
      cpu_backend().write_slice(part, slice, whole);
      gpu().write_slice(cuda_part, slice, cuda_whole);
      CHECK(same_bits(cuda_whole, whole));
      cpu_backend().embed(part, slice, whole);
      gpu().embed(cuda_part, slice, cuda_whole);
      CHECK(same_bits(cuda_whole, whole));
    }
}

TEST_CASE("crops have the CPU's pixels bit for bit", "[cuda][bf16]") {
  const Images images;
  for (const Shape& size : {Shape{9, 7}, Shape{4, 5}, Shape{12, 11}}) {
    const Shape shape{101, size[0], size[1], 3};
    Tensor expected = Tensor::empty(shape), out = on_gpu(shape), narrow = on_gpu(shape, DType::bf16);
    const Tensor pixels = images.pixels.to(Device::cuda());
    cpu_backend().crop_images(images.pixels, images.crops, images.mean, images.std, expected);
    gpu().crop_images(pixels, images.crops, images.mean, images.std, out);
    CHECK(same_bits(out, expected));
    gpu().crop_images(pixels, images.crops, images.mean, images.std, narrow);
    CHECK(same_bits(narrow, to_bf16(expected)));
  }
  Tensor nothing = on_gpu({0, 4, 4, 3});
  gpu().crop_images(images.pixels.to(Device::cuda()), {}, images.mean, images.std, nothing);
}

TEST_CASE("a crop of an image that does not exist is the CPU's error", "[cuda][errors]") {
  Images images;
  for (const std::int32_t source : {-1, 5}) {
    images.crops[100].source = source;
    const auto message = [&](Device device) {
      Tensor out = Tensor::empty({101, 4, 4, 3}, {DType::f32, device});
      return message_of([&] {
        backend_for(device).crop_images(images.pixels.to(device), images.crops, images.mean, images.std, out);
      });
    };
    CHECK(message(Device::cuda()) == message(Device::cpu()));
    CHECK(message(Device::cuda()) ==
          fmt::format("crop_images: crop 100 asks for image {}; expected 0 to 4", source));
  }
}

TEST_CASE("max pooling in bf16, its gradient and that one's gradient", "[cuda][bf16]") {
  struct Row {
    Shape x;
    Pool2dOptions options;
  };
  for (const auto& [shape, o] :
       {Row{{3, 8, 8, 5}, {}}, Row{{2, 13, 11, 16}, {3, 2, 1}}, Row{{2, 13, 11, 7}, {3, 2, 1}},
        Row{{2, 7, 9, 3}, {3, 1, 0}}, Row{{1, 11, 10, 4}, {2, 3, 0}}, Row{{2, 5, 6, 3}, {5, 1, 2}},
        Row{{1, 1, 1, 1}, {1, 1, 0}}}) {
    INFO(shape.str() << " size " << o.size << " stride " << o.stride << " padding " << o.padding);
    const Tensor x = draw_exact(shape, 1, -0.25, 0.25);  // 33 values: many are equal
    const Shape pooled{shape[0], (shape[1] + 2 * o.padding - o.size) / o.stride + 1,
                       (shape[2] + 2 * o.padding - o.size) / o.stride + 1, shape[3]};
    Tensor y = Tensor::empty(pooled), index = Tensor::empty(pooled, {DType::i32});
    Tensor cuda_y = on_gpu(pooled, DType::bf16), cuda_index = on_gpu(pooled, DType::i32);
    cpu_backend().max_pool2d(x, o, y, index);
    gpu().max_pool2d(to_bf16(x), o, cuda_y, cuda_index);
    CHECK(same_bits(cuda_y, to_bf16(y)));
    CHECK(same_bits(cuda_index, index));

    const Tensor grad = draw_exact(pooled, 2);
    Tensor grad_x = Tensor::empty(shape), cuda_grad_x = on_gpu(shape), narrow = on_gpu(shape, DType::bf16);
    cpu_backend().max_pool2d_scatter(grad, index, o, grad_x);
    gpu().max_pool2d_scatter(grad.to(Device::cuda()), cuda_index, o, cuda_grad_x);
    CHECK(same_bits(cuda_grad_x, grad_x));  // windows are added in the CPU's order
    gpu().max_pool2d_scatter(to_bf16(grad), cuda_index, o, narrow);
    CHECK(same_bits(narrow, to_bf16(grad_x)));  // added in f32, rounded once

    gpu().max_pool2d_gather(to_bf16(x), cuda_index, cuda_y);
    CHECK(same_bits(cuda_y, to_bf16(y)));
  }
}

TEST_CASE("softmax and cross-entropy in bf16", "[cuda][bf16]") {
  for (const Shape& shape : {Shape{515, 37}, Shape{3, 1000}, Shape{7, 1}, Shape{1, 10}})
    for (const double smoothing : {0.0, 0.1}) {
      INFO(shape.str() << " smoothing " << smoothing);
      const Tensor logits = draw_exact(shape, 1), grad = draw_exact({shape[0]}, 2);
      std::vector<std::int32_t> classes;
      for (std::int64_t n = 0; n < shape[0]; ++n)
        classes.push_back(static_cast<std::int32_t>(n * 5 % shape[1]));
      const Tensor labels = Tensor::from(classes, {shape[0]}), cuda_labels = labels.to(Device::cuda());
      Tensor p = Tensor::empty(shape), losses = Tensor::empty({shape[0]}), expected = Tensor::empty(shape);
      Tensor cuda_p = on_gpu(shape, DType::bf16), cuda_losses = on_gpu({shape[0]}, DType::bf16),
             out = on_gpu(shape, DType::bf16);
      cpu_backend().cross_entropy(logits, labels, smoothing, losses, p);
      gpu().cross_entropy(to_bf16(logits), cuda_labels, smoothing, cuda_losses, cuda_p);
      CHECK(beyond_rounding(cuda_losses, losses) == 0);
      CHECK(beyond_rounding(cuda_p, p) == 0);
      gpu().softmax(to_bf16(logits), out);
      CHECK(same_bits(out, cuda_p));

      cpu_backend().cross_entropy_grad(grad, to_f32(cuda_p), labels, smoothing, expected);
      gpu().cross_entropy_grad(to_bf16(grad), cuda_p, cuda_labels, smoothing, out);
      CHECK(beyond_rounding(out, expected) == 0);
      cpu_backend().one_hot(labels, smoothing, expected);
      gpu().one_hot(cuda_labels, smoothing, out);
      CHECK(beyond_rounding(out, expected) == 0);
    }
}

TEST_CASE("a label out of range makes its row NaN, and no other", "[cuda][nan]") {
  const Tensor logits = draw_exact({3, 5}, 1).to(Device::cuda());
  for (const std::int32_t label : {-1, 5, std::numeric_limits<std::int32_t>::max()})
    for (const double smoothing : {0.0, 0.1}) {
      CAPTURE(label, smoothing);
      const Tensor labels = Tensor::from<std::int32_t>({0, label, 4}, {3}, Device::cuda());
      Tensor losses = on_gpu({3}), p = on_gpu({3, 5}), grad = on_gpu({3, 5}), target = on_gpu({3, 5});
      gpu().cross_entropy(logits, labels, smoothing, losses, p);
      gpu().cross_entropy_grad(Tensor::full({3}, 1, losses.options()), p, labels, smoothing, grad);
      gpu().one_hot(labels, smoothing, target);
      CHECK(nan_mask(losses) == std::vector<bool>{false, true, false});
      std::vector<bool> second_row(15);
      std::fill_n(second_row.begin() + 5, 5, true);
      CHECK(nan_mask(grad) == second_row);
      CHECK(nan_mask(target) == second_row);
      CHECK(nan_mask(p) == std::vector<bool>(15));
    }
}

TEST_CASE("cross-entropy of extreme logits is finite on CUDA", "[cuda]") {
  const Tensor labels = Tensor::from<std::int32_t>({0, 1}, {2}, Device::cuda());
  Tensor losses = on_gpu({2}), p = on_gpu({2, 2});
  const auto losses_of = [&](const std::vector<float>& logits) {
    gpu().cross_entropy(Tensor::from(logits, {2, 2}, Device::cuda()), labels, 0, losses, p);
    return losses.to_vector<float>();
  };
  CHECK(losses_of({1e4f, -1e4f, 3e38f, 3e38f})[0] == 0);
  CHECK(std::abs(losses_of({1e4f, -1e4f, 3e38f, 3e38f})[1]) < 1);
  CHECK(losses_of({1, -HUGE_VALF, -HUGE_VALF, 2}) == std::vector<float>{0, 0});  // masked classes
}

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

TEST_CASE("a NaN stays in its channel and is never hidden, in bf16", "[cuda][bf16][nan]") {
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

  Tensor p = on_gpu({2, 3}, DType::bf16), y = on_gpu({1, 1, 1, 2}, DType::bf16),
         at = on_gpu({1, 1, 1, 2}, DType::i32);
  gpu().softmax(to_bf16(Tensor::from<float>({1000, not_a_number, 9, 4, 1000, 7}, {2, 3})), p);
  CHECK(nan_mask(p) == std::vector<bool>{true, true, true, false, false, false});
  gpu().max_pool2d(to_bf16(Tensor::from<float>({1, 5, not_a_number, 5, 9, 5, not_a_number, 5}, {1, 2, 2, 2})),
                   {}, y, at);
  CHECK(nan_mask(y) == std::vector<bool>{true, false});
  CHECK(at.to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 0});  // first NaN, first of equals
}

}  // namespace lamina::tests
