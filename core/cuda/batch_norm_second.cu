// The second derivative of batch normalisation (math::BatchNormSecondGradient), in f32: one pass that reduces
// over rows and one that writes.
#include "core/cuda/batch_norm.h"
#include "core/cuda/cuda_backend.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

using namespace cuda::batch_norm;
using Second = math::BatchNormSecondGradient<float>;

// The derivative in each channel; that with respect to the weight goes to `grad_weight`.
template <int width>
void reduce_second(cuda::Stream stream, Allocator& allocator, const MaskedGradient<float, width>& g,
                   const BatchNormSecond& in, bool training, Second* channels, float* grad_weight) {
  const std::int64_t columns = in.mean.elements() / width;
  const cuda::SumPlan plan(1, in.x.elements() / in.mean.elements(), columns, rows_of_packs);
  const double share = training ? 1 / static_cast<double>(plan.middle) : 0;
  const float *to_x = in.to.x.data<float>(), *to_weight = in.to.weight.data<float>(),
              *to_bias = in.to.bias.data<float>(), *g_sum = in.grad_bias.data<float>(),
              *g_x_hat = in.grad_weight.data<float>();
  cuda::sum_middle<3 * width>(
      stream, allocator, plan,
      [=] LAMINA_DEVICE(std::int64_t, std::int64_t column) {
        const Channels<width> channel(g.normalisation, column);
        return [=](std::int64_t row) {
          const std::int64_t i = row * columns + column;
          const MaskedPack<width> masked = g.at(i, channel);
          const auto u = cuda::load<width>(to_x, i);
          cuda::Sums<3 * width, float> terms;
          for (int k = 0; k < width; ++k) {
            terms.value[k] = u.value[k];
            terms.value[width + k] = u.value[k] * masked.centred[k];
            terms.value[2 * width + k] = u.value[k] * masked.grad[k];
          }
          return terms;
        };
      },
      [=] LAMINA_DEVICE(std::int64_t column, const cuda::Sums<3 * width>& sums) {
        for (int k = 0; k < width; ++k) {
          const std::int64_t c = column * width + k;
          channels[c] = Second::of({.weight = static_cast<double>(g.normalisation.weight[c]),
                                    .inv_std = static_cast<double>(g.normalisation.inv_std[c]),
                                    .g = static_cast<double>(g_sum[c]),
                                    .g_x_hat = static_cast<double>(g_x_hat[c]),
                                    .u = sums.value[k],
                                    .u_centred = sums.value[width + k],
                                    .ug = sums.value[2 * width + k],
                                    .p = static_cast<double>(to_weight[c]),
                                    .q = static_cast<double>(to_bias[c])},
                                   share);
          grad_weight[c] = channels[c].weight;
        }
      });
}

template <int width>
void write_second(cuda::Stream stream, const MaskedGradient<float, width>& g, const BatchNormSecond& in,
                  const Second* channels, Tensor& grad_grad, Tensor& grad_x) {
  const std::int64_t columns = in.mean.elements() / width, rows = in.x.elements() / in.mean.elements();
  const float *to_x = in.to.x.data<float>(),
              *more = in.to.residual.defined() ? in.to.residual.data<float>() : nullptr;
  float *to_grad = grad_grad.data<float>(), *to = grad_x.data<float>();
  cuda::for_each_column(stream, rows, columns, [=] LAMINA_DEVICE(std::int64_t column) {
    const Channels<width> channel(g.normalisation, column);
    return [=](std::int64_t i) {
      const MaskedPack<width> masked = g.at(i, channel);
      const auto u = cuda::load<width>(to_x, i);
      const auto t = more != nullptr ? cuda::load<width>(more, i) : u;
      cuda::Pack<float, width> of_grad, of_x;
      for (int k = 0; k < width; ++k) {
        const Second& second = channels[column * width + k];
        const float of_g = second.of_g(u.value[k], masked.centred[k]);
        of_grad.value[k] = masked.passes[k] * (more != nullptr ? of_g + t.value[k] : of_g);
        of_x.value[k] = second.of_x(masked.grad[k], u.value[k], masked.centred[k]);
      }
      cuda::store(of_grad, to_grad, i);
      cuda::store(of_x, to, i);
    };
  });
}

}  // namespace

void CudaBackend::batch_norm_second_grad(const BatchNormSecond& in, const BatchNormOptions& options,
                                         Tensor& grad_grad, Tensor& grad_x, Tensor& grad_weight) {
  const std::int64_t channels = in.mean.elements();
  if (channels == 0) return;
  const Scratch<Second> second(allocator(), channels);
  const Mask mask = !options.relu ? Mask::none : in.y.defined() ? Mask::from_y : Mask::from_x;
  const Normalisation n(in.mean, in.inv_std, in.params);
  const float* masks = mask == Mask::from_y ? in.y.data<float>() : nullptr;
  const float* more = in.to.residual.defined() ? in.to.residual.data<float>() : nullptr;
  const auto compute = [&](auto width) {
    const MaskedGradient<float, width()> g{mask, in.grad.data<float>(), in.x.data<float>(), masks, n};
    reduce_second(stream(), allocator(), g, in, options.training, second.data(), grad_weight.data<float>());
    write_second(stream(), g, in, second.data(), grad_grad, grad_x);
  };
  cuda::visit_width<float>(channels,
                           {in.grad.raw(), in.x.raw(), masks, more, in.to.x.raw(), grad_grad.raw(),
                            grad_x.raw(), n.mean, n.inv_std, n.weight, n.bias},
                           compute);
}

}  // namespace lamina
