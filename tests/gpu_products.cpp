// Convolutions and products in bf16, in every direction, against the CPU's in f32. The numbers are such that
// no sum of products rounds in f32, whatever its order: what remains is the rounding of the result to bf16.
#include "bf16_tensors.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "layers/copy_state.h"
#include "layers/linear.h"

namespace lamina::tests {
namespace {

// Multiples of 2^-3 up to 1: a product is a multiple of 2^-6 up to 1, and f32 holds the sum of 2^18 of them.
Tensor draw_coarse(const Shape& shape, std::uint64_t seed) {
  Draw draw(seed);
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (float& value : values) value = static_cast<float>(draw.below(17) - 8) / 8;
  return Tensor::from(values, shape);
}

struct Convolution {
  Shape x, weight, y;
  Conv2dOptions options;
};

// The kinds that ResNets have, and one whose extents and channels are odd.
const std::vector<Convolution> convolutions{
    {{4, 32, 32, 3}, {16, 3, 3, 3}, {4, 32, 32, 16}, {.stride = 1, .padding = 1}},
    {{2, 56, 56, 3}, {16, 7, 7, 3}, {2, 28, 28, 16}, {.stride = 2, .padding = 3}},
    {{4, 16, 16, 64}, {64, 3, 3, 64}, {4, 16, 16, 64}, {.stride = 1, .padding = 1}},
    {{4, 16, 16, 64}, {128, 3, 3, 64}, {4, 8, 8, 128}, {.stride = 2, .padding = 1}},
    {{4, 16, 16, 64}, {128, 1, 1, 64}, {4, 8, 8, 128}, {.stride = 2, .padding = 0}},
    {{3, 9, 7, 5}, {6, 3, 3, 5}, {3, 5, 4, 6}, {.stride = 2, .padding = 1}}};

// What a convolution by transforms adds in f32, as the CPU's Winograd does; a direct one adds nothing.
constexpr double transforms = 1e-5;

}  // namespace

TEST_CASE("convolutions in bf16, in all three directions", "[cuda][bf16]") {
  for (const auto& [x_shape, weight_shape, y_shape, options] : convolutions) {
    INFO(x_shape.str() << " with " << weight_shape.str() << " stride " << options.stride);
    const Tensor x = draw_coarse(x_shape, 1), weight = draw_coarse(weight_shape, 2),
                 grad = draw_coarse(y_shape, 3);
    const Tensor cuda_x = to_bf16(x), cuda_weight = to_bf16(weight), cuda_grad = to_bf16(grad);

    Tensor y = Tensor::empty(y_shape), cuda_y = on_gpu(y_shape, DType::bf16);
    cpu_backend().conv2d(x, weight, options, y);
    gpu().conv2d(cuda_x, cuda_weight, options, cuda_y);
    CHECK(beyond_rounding(cuda_y, y, transforms) == 0);

    Tensor grad_x = Tensor::empty(x_shape), cuda_grad_x = on_gpu(x_shape, DType::bf16);
    cpu_backend().conv2d_grad_input(grad, weight, options, grad_x);
    gpu().conv2d_grad_input(cuda_grad, cuda_weight, options, cuda_grad_x);
    CHECK(beyond_rounding(cuda_grad_x, grad_x, transforms) == 0);

    // To a gradient that nearly cancels it, so that a product rounded before it is added shows.
    Tensor cuda_sum = to_bf16(affine(to_f32(cuda_grad_x), -1, 0.125)), sum = to_f32(cuda_sum);
    cpu_backend().conv2d_add_grad_input(grad, weight, options, sum);
    gpu().conv2d_add_grad_input(cuda_grad, cuda_weight, options, cuda_sum);
    CHECK(beyond_rounding(cuda_sum, sum, transforms) == 0);

    Tensor grad_weight = Tensor::empty(weight_shape), cuda_grad_weight = on_gpu(weight_shape, DType::bf16);
    cpu_backend().conv2d_grad_weight(grad, x, options, grad_weight);
    gpu().conv2d_grad_weight(cuda_grad, cuda_x, options, cuda_grad_weight);
    CHECK(beyond_rounding(cuda_grad_weight, grad_weight, transforms) == 0);
  }
}

TEST_CASE("gradients that join at a convolution's input are added by it, as on the CPU", "[cuda][bf16]") {
  const Conv2dOptions options{.padding = 1};
  const auto gradients = [&](Device device) {
    const auto place = [&](const Tensor& x) { return x.to(device).requires_grad_(); };
    const Tensor x = place(draw_coarse({2, 6, 6, 16}, 1)), a = place(draw_coarse({16, 3, 3, 16}, 2)),
                 b = place(draw_coarse({16, 3, 3, 16}, 3));
    const Tensor input = x * 2.0, kept = draw_coarse(x.shape(), 4).to(device), before = kept.clone();
    const Tensor output = conv2d(input, a, options) + conv2d(input, b, options) + input;
    const std::vector<Tensor> found = grad(output, {input, x}, kept);
    CHECK(same_bits(kept, before));  // the caller's, which also goes to `input`
    return found;
  };
  const std::vector<Tensor> cpu = gradients(Device::cpu()), cuda = gradients(Device::cuda());
  for (std::size_t i = 0; i < cpu.size(); ++i) CHECK(relative_error(cuda[i], cpu[i]) <= transforms);
}

TEST_CASE("products in bf16, of matrices and their transposes", "[cuda][bf16]") {
  for (const Shape& size : {Shape{128, 512, 10}, Shape{64, 64, 64}, Shape{33, 7, 5}, Shape{1, 1000, 1}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true}) {
        const std::int64_t m = size[0], k = size[1], n = size[2];
        CAPTURE(m, k, n, transpose_a, transpose_b);
        const Tensor a = draw_coarse(transpose_a ? Shape{k, m} : Shape{m, k}, 1);
        const Tensor b = draw_coarse(transpose_b ? Shape{n, k} : Shape{k, n}, 2);
        const MatmulOptions options{.transpose_a = transpose_a, .transpose_b = transpose_b};
        Tensor expected = Tensor::empty({m, n}), out = on_gpu({m, n}, DType::bf16), wide = on_gpu({m, n});
        cpu_backend().matmul(a, b, options, expected);
        gpu().matmul(to_bf16(a), to_bf16(b), options, out);
        CHECK(same_bits(out, to_bf16(expected)));
        gpu().matmul(a.to(Device::cuda()), b.to(Device::cuda()), options, wide);
        CHECK(same_bits(wide, expected));
      }
}

TEST_CASE("a linear layer in bf16 keeps its parameters in f32", "[cuda][bf16]") {
  Linear layer(8, 5, {.tensor = {.device = Device::cuda()}}), reference(8, 5);
  reference.parameter("weight").value.copy_from(draw_coarse({5, 8}, 1));
  reference.parameter("bias").value.copy_from(draw_coarse({5}, 2));
  copy_state(reference, layer);
  const Tensor x = draw_coarse({2, 3, 8}, 3), grad = draw_coarse({2, 3, 5}, 4);
  const Tensor y = layer(to_bf16(x)), expected = reference(x);
  // The product is rounded before the bias is added, which may cancel most of it: 2^-9 of the largest.
  CHECK(beyond_rounding(y, expected, 0x1p-8) == 0);
  sum(cast(y, DType::f32) * grad.to(Device::cuda())).backward();
  sum(expected * grad).backward();
  for (const char* name : {"weight", "bias"}) {
    const Tensor found = layer.parameter(name).grad(), wanted = reference.parameter(name).grad();
    REQUIRE(found.dtype() == DType::f32);
    const auto a = found.to_vector<float>(), b = wanted.to_vector<float>();
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 0x1p-8 * std::abs(b[i]));
  }
}

}  // namespace lamina::tests
