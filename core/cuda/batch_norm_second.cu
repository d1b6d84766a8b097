// The second derivative of batch normalisation (math::BatchNormSecondGradient), in f32: one pass that reduces
// over rows and one that writes.
#include "core/cuda/batch_norm.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/sum_then_each.h"
#include "core/memory/scratch.h"

namespace lamina {
namespace {

using namespace cuda::batch_norm;
using Second = math::BatchNormSecondGradient<float>;

// The derivative in each channel, from the sums of u, of u (x - mean) and of u g; that with respect to the
// weight goes to `grad_weight` too. [C] each.
struct SecondOf {
  LAMINA_DEVICE void operator()(std::int64_t c, const cuda::Sums<3>& sums) const {
    channels[c] = Second::of({.weight = static_cast<double>(normalisation.weight[c]),
                              .inv_std = static_cast<double>(normalisation.inv_std[c]),
                              .g = static_cast<double>(g[c]),
                              .g_x_hat = static_cast<double>(g_x_hat[c]),
                              .u = sums.value[0],
                              .u_centred = sums.value[1],
                              .ug = sums.value[2],
                              .p = static_cast<double>(to_weight[c]),
                              .q = static_cast<double>(to_bias[c])},
                             share);
    grad_weight[c] = channels[c].weight;
  }

  Normalisation normalisation;
  const float *g, *g_x_hat, *to_weight, *to_bias;
  double share;  // 1 / rows, or 0 with constant statistics
  Second* channels;
  float* grad_weight;
};

// The terms of those sums.
template <int width, Mask mask>
struct SecondTerms {
  static constexpr int in_turn = packs_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t, std::int64_t column) const {
    const Channels<width> channel(g.normalisation, column);
    return [*this, column, channel](std::int64_t row) {
      const std::int64_t i = row * columns + column;
      const auto loaded = g.load(i);
      const auto u = cuda::load<width>(to_x, i);
      return [loaded, u, &channel] {
        const MaskedPack<width> masked = MaskedGradient<float, width, mask>::masked(loaded, channel);
        cuda::Sums<3 * width, float> terms;
        for (int k = 0; k < width; ++k) {
          terms.value[k] = u.value[k];
          terms.value[width + k] = u.value[k] * masked.centred[k];
          terms.value[2 * width + k] = u.value[k] * masked.grad[k];
        }
        return terms;
      };
    };
  }

  MaskedGradient<float, width, mask> g;
  const float* to_x;
  std::int64_t columns;
};

template <int width, Mask mask>
struct SecondGradients {
  static constexpr int in_turn = packs_of_many_in_turn;

  LAMINA_DEVICE auto operator()(std::int64_t column) const {
    const Channels<width> channel(g.normalisation, column);
    return [*this, column, channel](std::int64_t i) {
      const MaskedPack<width> masked = g.masked(g.load(i), channel);
      const auto u = cuda::load<width>(to_x, i);
      const auto t = to_residual != nullptr ? cuda::load<width>(to_residual, i) : u;
      cuda::Pack<float, width> of_grad, of_x;
      for (int k = 0; k < width; ++k) {
        const Second& second = channels[column * width + k];
        const float of_g = second.of_g(u.value[k], masked.centred[k]);
        of_grad.value[k] = masked.passes[k] * (to_residual != nullptr ? of_g + t.value[k] : of_g);
        of_x.value[k] = second.of_x(masked.grad[k], u.value[k], masked.centred[k]);
      }
      cuda::store(of_grad, grad_grad, i);
      cuda::store(of_x, grad_x, i);
    };
  }

  MaskedGradient<float, width, mask> g;
  const float *to_x, *to_residual;  // the latter nullptr: none
  const Second* channels;
  float *grad_grad, *grad_x;
};

}  // namespace

void CudaBackend::batch_norm_second_grad(const BatchNormSecond& in, const BatchNormOptions& options,
                                         Tensor& grad_grad, Tensor& grad_x, Tensor& grad_weight) {
  const std::int64_t channels = in.mean.elements();
  if (channels == 0) return;
  const std::int64_t rows = in.x.elements() / channels;
  const Scratch<Second> second(allocator(), channels);
  const Normalisation n(in.mean, in.inv_std, in.params);
  const SecondOf second_of{.normalisation = n,
                           .g = in.grad_bias.data<float>(),
                           .g_x_hat = in.grad_weight.data<float>(),
                           .to_weight = in.to.weight.data<float>(),
                           .to_bias = in.to.bias.data<float>(),
                           .share = options.training ? 1 / static_cast<double>(rows) : 0,
                           .channels = second.data(),
                           .grad_weight = grad_weight.data<float>()};
  const float *from = in.grad.data<float>(), *x = in.x.data<float>(), *to_x = in.to.x.data<float>(),
              *more = in.to.residual.defined() ? in.to.residual.data<float>() : nullptr;
  visit_mask(options.relu, in.y, [&](auto mask) {
    const float* out = mask() == Mask::from_y ? in.y.data<float>() : nullptr;
    const auto compute = [&](auto width) {
      const MaskedGradient<float, width(), decltype(mask)::value> g{from, x, out, n};
      const std::int64_t columns = channels / width();
      const SecondTerms<width(), decltype(mask)::value> terms{g, to_x, columns};
      const SecondGradients<width(), decltype(mask)::value> write{
          g, to_x, more, second.data(), grad_grad.data<float>(), grad_x.data<float>()};
      const cuda::Rows of{
          .rows = rows, .columns = columns, .bytes_again = 3 * static_cast<std::int64_t>(in.x.bytes())};
      cuda::sum_then_each<3, width()>(stream(), allocator(), of, terms, second_of, write);
    };
    cuda::visit_width<float>(
        channels,
        {from, x, out, more, to_x, grad_grad.raw(), grad_x.raw(), n.mean, n.inv_std, n.weight, n.bias},
        compute);
  });
}

}  // namespace lamina
