#include "apps/bench/kernels.h"
#include <fmt/format.h>

#include "apps/bench/bench.h"

namespace lamina::app {
namespace {

// Makes tensors and runs kernels; small, so that every call holds a copy.
struct Workbench {
  Device device;
  Backend* backend;
  explicit Workbench(Device where) : device(where), backend(&backend_for(where)) {}
  Tensor random(const Shape& shape) const { return random_tensor(shape, device); }
  Tensor empty(const Shape& shape) const { return Tensor::empty(shape, {.device = device}); }
  BatchNormParams batch_norm_params(const Shape& channels) const {
    return {random(channels), random(channels), random(channels), random(channels)};
  }
  Tensor empty_index(const Shape& shape) const { return Tensor::empty(shape, {DType::i32, device}); }
};

std::string text_of(const Shape& shape) { return fmt::format("{}", fmt::join(shape, "x")); }

double bytes_of(const Shape& shape, int arrays) {
  return 4.0 * arrays * static_cast<double>(shape.elements());
}

KernelCall matmul_kernel(const Shape& a, const Shape& b, const MatmulOptions& o, const Shape& out,
                         const Workbench& on) {
  const auto text = [](const Shape& shape, bool transposed) {
    return text_of(shape) + (transposed ? " transposed" : "");
  };
  return {.name = "matmul",
          .shape = text(a, o.transpose_a) + " * " + text(b, o.transpose_b),
          .details = {{"a", a}, {"b", b}, {"transpose_a", o.transpose_a}, {"transpose_b", o.transpose_b}},
          .flop = 2 * static_cast<double>(out.elements() * a[o.transpose_a ? 0 : 1]),
          .prepare = [=] {
            return [=, left = on.random(a), right = on.random(b), result = on.empty(out)]() mutable {
              on.backend->matmul(left, right, o, result);
            };
          }};
}

}  // namespace

KernelCalls conv_kernels(const ConvShapes& shapes, GradInput grad_input, Device device) {
  const Shape x = shapes.x, weight = shapes.weight, y = shapes.y;
  const Conv2dOptions o = shapes.options;
  const Workbench on(device);
  KernelCall forward{.name = "conv2d",
                     .shape = fmt::format("{} -> {}, {}x{}{}", text_of(x), weight[0], weight[1], weight[2],
                                          o.stride == 1 ? "" : fmt::format(" / {}", o.stride)),
                     .details = {{"x", x}, {"weight", weight}, {"stride", o.stride}, {"padding", o.padding}},
                     .flop = 2 * static_cast<double>(y.elements() * weight.elements(1, 4)),
                     .prepare = [x, weight, y, o, on] {
                       return [=, in = on.random(x), w = on.random(weight), out = on.empty(y)]() mutable {
                         on.backend->conv2d(in, w, o, out);
                       };
                     }};
  KernelCall of_weight = forward, of_input = forward;
  of_weight.name = "conv2d_grad_weight";
  of_weight.prepare = [x, weight, y, o, on] {
    return [=, in = on.random(x), grad = on.random(y), out = on.empty(weight)]() mutable {
      on.backend->conv2d_grad_weight(grad, in, o, out);
    };
  };
  if (grad_input == GradInput::none) return {forward, of_weight};
  const bool added = grad_input == GradInput::added;
  const auto kernel = added ? &Backend::conv2d_add_grad_input : &Backend::conv2d_grad_input;
  of_input.name = added ? "conv2d_add_grad_input" : "conv2d_grad_input";
  of_input.prepare = [x, weight, y, o, on, kernel] {
    return [=, grad = on.random(y), w = on.random(weight), out = on.random(x)]() mutable {
      (on.backend->*kernel)(grad, w, o, out);
    };
  };
  return {forward, of_input, of_weight};
}

KernelCalls batch_norm_kernels(const Shape& x, Fused fused, Device device) {
  const Workbench on(device);
  const Shape channels{x.back()};
  const BatchNormOptions o{.relu = fused.relu};
  const int residual = fused.residual ? 1 : 0;
  const bool reads_y = fused.relu && fused.residual;
  KernelCall forward{
      .name = "batch_norm",
      .shape = text_of(x) + (fused.residual ? " + residual" : "") + (fused.relu ? ", relu" : ""),
      .details = {{"x", x}, {"relu", fused.relu}, {"residual", fused.residual}},
      .bytes = bytes_of(x, 2 + residual),
      .prepare = [=] {
        return [=, in = on.random(x), params = on.batch_norm_params(channels),
                added = fused.residual ? on.random(x) : Tensor(), y = on.empty(x), mean = on.empty(channels),
                inv_std = on.empty(channels)]() mutable {
          on.backend->batch_norm(in, params, added, o, y, mean, inv_std);
        };
      }};
  KernelCall backward = forward;
  backward.name = "batch_norm_grad";
  backward.bytes = bytes_of(x, 3 + (reads_y ? 1 : 0) + residual);
  backward.prepare = [=] {
    return
        [=, grad = on.random(x), in = on.random(x), y = reads_y ? on.random(x) : Tensor(),
         params = on.batch_norm_params(channels), mean = on.random(channels), inv_std = on.random(channels),
         grad_x = on.empty(x), grad_weight = on.empty(channels), grad_bias = on.empty(channels),
         grad_residual = fused.residual ? on.empty(x) : Tensor()]() mutable {
          on.backend->batch_norm_grad(grad, in, y, params, mean, inv_std, o, grad_x, grad_weight, grad_bias,
                                      grad_residual);
        };
  };
  return {forward, backward};
}

KernelCalls max_pool_kernels(const Shape& x, const Shape& y, const Pool2dOptions& o, Device device) {
  const Workbench on(device);
  KernelCall forward{.name = "max_pool2d",
                     .shape = fmt::format("{}, {}x{} / {}", text_of(x), o.size, o.size, o.stride),
                     .details = {{"x", x}, {"size", o.size}, {"stride", o.stride}, {"padding", o.padding}},
                     .bytes = bytes_of(x, 1) + bytes_of(y, 2),  // the maxima and where they are
                     .prepare = [=] {
                       return [=, in = on.random(x), out = on.empty(y), index = on.empty_index(y)]() mutable {
                         on.backend->max_pool2d(in, o, out, index);
                       };
                     }};
  KernelCall backward = forward;
  backward.name = "max_pool2d_scatter";
  backward.prepare = [=] {
    Tensor grad = on.empty(y), index = on.empty_index(y);
    on.backend->max_pool2d(on.random(x), o, grad, index);
    return [=, grad_x = on.empty(x)]() mutable { on.backend->max_pool2d_scatter(grad, index, o, grad_x); };
  };
  return {forward, backward};
}

KernelCalls average_pool_kernels(const Shape& x, Device device) {
  const Workbench on(device);
  const Shape pixels{x[0], x[1] * x[2], x[3]}, sums{x[0], 1, x[3]};
  const double bytes = bytes_of(pixels, 1) + bytes_of(sums, 1);
  return {{.name = "sum_to",
           .shape = text_of(pixels) + " -> " + text_of(sums),
           .details = {{"x", pixels}, {"y", sums}},
           .bytes = bytes,
           .prepare =
               [=] {
                 return [=, in = on.random(pixels), out = on.empty(sums)]() mutable {
                   on.backend->sum_to(in, out);
                 };
               }},
          {.name = "broadcast_to",
           .shape = text_of(sums) + " -> " + text_of(pixels),
           .details = {{"x", sums}, {"y", pixels}},
           .bytes = bytes,
           .prepare = [=] {
             return [=, grad = on.random(sums), out = on.empty(pixels)]() mutable {
               on.backend->broadcast_to(grad, out);
             };
           }}};
}

// y = x Wᵀ, dx = dy W, dW = dyᵀ x.
KernelCalls linear_kernels(const Shape& x, const Shape& weight, Device device) {
  const Workbench on(device);
  const Shape y{x[0], weight[0]};
  return {matmul_kernel(x, weight, {.transpose_b = true}, y, on), matmul_kernel(y, weight, {}, x, on),
          matmul_kernel(y, x, {.transpose_a = true}, weight, on)};
}

KernelCalls cross_entropy_kernels(std::int64_t batch, int classes, Device device) {
  const Workbench on(device);
  const Shape shape{batch, classes};
  KernelCall forward{.name = "cross_entropy",
                     .shape = text_of(shape),
                     .details = {{"x", shape}},
                     .bytes = bytes_of(shape, 2),
                     .prepare = [=] {
                       return [=, logits = on.random(shape), labels = random_labels(batch, classes, device),
                               losses = on.empty({batch}), probabilities = on.empty(shape)]() mutable {
                         on.backend->cross_entropy(logits, labels, 0, losses, probabilities);
                       };
                     }};
  KernelCall backward = forward;
  backward.name = "cross_entropy_grad";
  backward.prepare = [=] {
    return [=, grad = on.random({batch}), probabilities = on.random(shape),
            labels = random_labels(batch, classes, device), grad_logits = on.empty(shape)]() mutable {
      on.backend->cross_entropy_grad(grad, probabilities, labels, 0, grad_logits);
    };
  };
  return {forward, backward};
}

KernelCall crop_kernel(const Shape& batch, Device device) {
  const Workbench on(device);
  return {.name = "crop_images",
          .shape = text_of(batch),
          .details = {{"x", batch}},
          .bytes = 5.0 * static_cast<double>(batch.elements()),  // reads bytes, writes f32
          .prepare = [=] {
            const auto channels = static_cast<std::size_t>(batch[3]);
            const std::vector<float> mean(channels, 0.5f), std(channels, 0.25f);
            std::vector<Crop> crops;
            crops.reserve(static_cast<std::size_t>(batch[0]));
            for (std::int32_t n = 0; n < batch[0]; ++n) {  // every offset of a crop out of 4 padded pixels
              crops.push_back({.source = n,
                               .top = static_cast<std::int16_t>(n / 9 % 9 - 4),
                               .left = static_cast<std::int16_t>(n % 9 - 4),
                               .flip = n % 2 == 1});
            }
            Tensor images = Tensor::empty(batch, {DType::u8, device});
            on.backend->fill(images, 127);
            return [=, out = on.empty(batch)]() mutable {
              on.backend->crop_images(images, crops, mean, std, out);
            };
          }};
}

KernelCall accumulate_kernel(const Shape& shape, Device device) {
  const Workbench on(device);
  return {.name = "accumulate",
          .shape = text_of(shape),
          .details = {{"x", shape}},
          .bytes = bytes_of(shape, 3),
          .prepare = [=] {
            return
                [=, a = on.random(shape), b = on.random(shape)]() mutable { on.backend->accumulate(a, b); };
          }};
}

}  // namespace lamina::app
