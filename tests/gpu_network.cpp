// CUDA's kernels for networks where the table of op cases does not reach: slices, crops, pooling and losses
// in bf16, with odd extents, NaN and labels out of range.
#include <cmath>

#include "bf16_tensors.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

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

TEST_CASE("a NaN is never hidden by softmax or max pooling, in bf16", "[cuda][bf16][nan]") {
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
