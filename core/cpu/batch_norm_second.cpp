// The second derivative of batch normalisation, in closed form: one pass that reduces over rows and one that
// writes.
#include <vector>

#include "core/cpu/batch_norm.h"
#include "core/cpu/cpu_backend.h"

namespace lamina {
namespace {

using namespace cpu::batch_norm;

// The sums that reduce over u, and after them those of g that are known: Σg and Σ g x̂.
template <typename T>
std::vector<double> with_sums_of_g(std::vector<double> sums, const BatchNormSecond& in) {
  for (const Tensor& sum : {in.grad_bias, in.grad_weight})
    sums.insert(sums.end(), sum.data<T>(), sum.data<T>() + sum.elements());
  return sums;
}

// See math::BatchNormSecondGradient.
template <typename T, Mask mask>
void second_gradients(const BatchNormSecond& in, const BatchNormOptions& options, Tensor& grad_grad,
                      Tensor& grad_x, Tensor& grad_weight) {
  const Rows rows(in.x);
  const std::vector<T> scales = scale_of<T>(in.params.weight, in.inv_std);
  const T *from = in.grad.data<T>(), *out = mask == Mask::from_y ? in.y.data<T>() : nullptr;
  const T *values = in.x.data<T>(), *means = in.mean.data<T>(), *to_x = in.to.x.data<T>();
  const ReluMask<T, mask> passes{out, values, means, scales.data(), in.params.bias.data<T>()};
  const auto centred = [=](std::int64_t i, std::int64_t c) { return values[i] - means[c]; };
  const auto g = [=](std::int64_t i, std::int64_t c) { return from[i] * passes(i, c); };
  const auto u = [=](std::int64_t i, std::int64_t) { return to_x[i]; };
  const std::vector<double> sums = sum_rows(rows, u, centred, g);
  const Totals all = totals_of(with_sums_of_g<T>(sums, in), rows, options);

  // Coefficient by coefficient, as vector registers read them.
  using Second = math::BatchNormSecondGradient<T>;
  const std::size_t count = scales.size();
  std::vector<T> mixed(count), g_constant(count), x_of_u(count), x_of_c(count), x_constant(count);
  for (std::size_t c = 0; c < count; ++c) {
    const auto at = [c](const Tensor& of_channels) { return static_cast<double>(of_channels.data<T>()[c]); };
    const auto second_from = [&](const std::vector<double>& of) {
      return Second::of({.weight = at(in.params.weight),
                         .inv_std = at(in.inv_std),
                         .g = all.sums[3 * count + c],
                         .g_x_hat = all.sums[4 * count + c],
                         .u = of[c],
                         .u_centred = of[count + c],
                         .ug = of[2 * count + c],
                         .p = at(in.to.weight),
                         .q = at(in.to.bias)},
                        options.training ? 1 / all.rows : 0);
    };
    const Second second = second_from(all.sums);
    grad_weight.data<T>()[c] = second_from(sums).weight;  // linear in the sums with u: a rank's part of it
    mixed[c] = second.mixed, g_constant[c] = second.g_constant;
    x_of_u[c] = second.x_of_u, x_of_c[c] = second.x_of_c, x_constant[c] = second.x_constant;
  }
  const auto write = [&](const auto& more) {
    T *to_grad = grad_grad.data<T>(), *to = grad_x.data<T>();
    for_each_element(rows, [=, scale = scales.data(), mixed = mixed.data(), g_constant = g_constant.data(),
                            x_of_u = x_of_u.data(), x_of_c = x_of_c.data(),
                            x_constant = x_constant.data()](std::int64_t i, std::int64_t c) {
      const Second second{.weight = 0,
                          .scale = scale[c],
                          .mixed = mixed[c],
                          .g_constant = g_constant[c],
                          .x_of_u = x_of_u[c],
                          .x_of_c = x_of_c[c],
                          .x_constant = x_constant[c]};
      to_grad[i] = passes(i, c) * (second.of_g(to_x[i], centred(i, c)) + more(i));
      to[i] = second.of_x(g(i, c), to_x[i], centred(i, c));
    });
  };
  if (in.to.residual.defined())
    write([more = in.to.residual.data<T>()](std::int64_t i) { return more[i]; });
  else
    write([](std::int64_t) { return T(0); });
}

template <typename T>
auto second_gradients_kernel(bool relu, bool has_y) {
  if (!relu) return second_gradients<T, Mask::none>;
  return has_y ? second_gradients<T, Mask::from_y> : second_gradients<T, Mask::from_x>;
}

}  // namespace

void CpuBackend::batch_norm_second_grad(const BatchNormSecond& in, const BatchNormOptions& options,
                                        Tensor& grad_grad, Tensor& grad_x, Tensor& grad_weight) {
  visit_floating(in.x.dtype(), "batch_norm_second_grad", [&](auto zero) {
    const auto kernel = second_gradients_kernel<decltype(zero)>(options.relu, in.y.defined());
    kernel(in, options, grad_grad, grad_x, grad_weight);
  });
}

}  // namespace lamina
