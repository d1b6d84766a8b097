#include "train/linear_probe.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/number.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/loss.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"
#include "core/random.h"
#include "train/minimise.h"
#include "train/top_count.h"

namespace lamina {
namespace {

constexpr double held_out_share = 0.1;

// Images in an order of one's own: x [N, D] f64, labels i32 [N].
struct Samples {
  Tensor x, labels;
  std::int64_t size() const { return x.size(0); }
  Samples rows(std::int64_t first, std::int64_t count) const {
    return {x.rows(first, count), labels.rows(first, count)};
  }
};

struct Scale {
  std::vector<double> mean, inverse_std;  // per feature; 1 where it does not vary
};

Scale scale_of(const Tensor& features) {
  const std::int64_t n = features.size(0);
  const auto width = static_cast<std::size_t>(features.size(1));
  const auto* f = features.data<float>();
  Scale scale{.mean = std::vector<double>(width), .inverse_std = std::vector<double>(width)};
  std::vector<double> squares(width);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::size_t d = 0; d < width; ++d) scale.mean[d] += f[static_cast<std::size_t>(i) * width + d];
  for (double& mean : scale.mean) mean /= static_cast<double>(n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::size_t d = 0; d < width; ++d) {
      const double centred = f[static_cast<std::size_t>(i) * width + d] - scale.mean[d];
      squares[d] += centred * centred;
    }
  for (std::size_t d = 0; d < width; ++d) {
    const double std = std::sqrt(squares[d] / static_cast<double>(n));
    scale.inverse_std[d] = std > std::ldexp(std::abs(scale.mean[d]), -24) ? 1 / std : 1;
  }
  return scale;
}

// The rows `order` of the features, standardised.
Samples standardised(const Features& features, const Scale& scale, std::span<const std::int64_t> order) {
  const std::int64_t width = features.width(), n = std::ssize(order);
  Samples samples{Tensor::empty({n, width}, {.dtype = DType::f64}),
                  Tensor::empty({n}, {.dtype = DType::i32})};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t row = order[static_cast<std::size_t>(i)];
    const float* from = features.values.data<float>() + row * width;
    double* to = samples.x.data<double>() + i * width;
    for (std::int64_t d = 0; d < width; ++d) {
      const auto at = static_cast<std::size_t>(d);
      to[d] = (static_cast<double>(from[d]) - scale.mean[at]) * scale.inverse_std[at];
    }
    samples.labels.data<std::int32_t>()[i] = features.labels[static_cast<std::size_t>(row)];
  }
  return samples;
}

// W [classes, width], then b [classes], in one row of numbers.
struct Coefficients {
  Coefficients(std::int64_t class_count, std::int64_t feature_count)
      : classes(class_count),
        width(feature_count),
        values(static_cast<std::size_t>(class_count * (feature_count + 1))) {}

  Tensor weight(std::span<const double> of) const { return part(of, 0, {classes, width}); }
  Tensor bias(std::span<const double> of) const { return part(of, classes * width, {classes}); }

  std::int64_t classes, width;
  std::vector<double> values;  // zeros at first

 private:
  static Tensor part(std::span<const double> of, std::int64_t first, const Shape& shape) {
    Tensor tensor = Tensor::empty(shape, {.dtype = DType::f64});
    std::copy_n(of.begin() + first, shape.elements(), tensor.data<double>());
    return tensor;
  }
};

// 1/N Σ −log softmax(W x + b)_y + λ/2 ‖W‖², and its gradient.
double regression_loss(const Samples& samples, double l2, const Coefficients& layout,
                       std::span<const double> values, std::span<double> gradient) {
  Tensor weight = layout.weight(values).requires_grad_(), bias = layout.bias(values).requires_grad_();
  const Tensor loss =
      cross_entropy(linear(samples.x, weight, bias), samples.labels) + l2 / 2 * sum(weight * weight);
  loss.backward();
  const double* of_weight = weight.grad().data<double>();
  const double* of_bias = bias.grad().data<double>();
  const auto end = std::copy_n(of_weight, weight.elements(), gradient.begin());
  std::copy_n(of_bias, bias.elements(), end);
  return loss.item();
}

LinearFit fit_from(Coefficients& coefficients, const Samples& samples, double l2,
                   const LinearProbeOptions& options) {
  const auto loss = [&](std::span<const double> values, std::span<double> gradient) {
    if (options.on_evaluation) options.on_evaluation();
    return regression_loss(samples, l2, coefficients, values, gradient);
  };
  const train::Minimum found =
      train::minimise(loss, coefficients.values,
                      {.gradient_bound = options.gradient_bound, .max_iterations = options.max_iterations});
  return {.l2 = l2,
          .iterations = found.iterations,
          .gradient = found.gradient,
          .converged = found.reached,
          .stopped_by = found.stopped_by};
}

std::int64_t count_among(const Samples& samples, const Coefficients& coefficients, std::int64_t top) {
  const NoGrad no_grad;
  const Tensor logits =
      linear(samples.x, coefficients.weight(coefficients.values), coefficients.bias(coefficients.values));
  return train::count_among_first(logits, samples.labels, top);
}

double share_right(const Samples& samples, const Coefficients& coefficients) {
  return static_cast<double>(count_among(samples, coefficients, 1)) / static_cast<double>(samples.size());
}

// A fit for each λ, from the strongest on, where it is quickest; the next begins where that ended.
std::vector<LinearFit> fit_grid(const Samples& samples, Coefficients coefficients,
                                const LinearProbeOptions& options) {
  const auto held = static_cast<std::int64_t>(held_out_share * static_cast<double>(samples.size()));
  const Samples held_out = samples.rows(0, held), rest = samples.rows(held, samples.size() - held);
  std::vector<LinearFit> fits;
  for (const double l2 : linear_probe_grid()) {
    fits.push_back(fit_from(coefficients, rest, l2, options));
    fits.back().accuracy = share_right(held_out, coefficients);
  }
  return fits;
}

double best_l2(const std::vector<LinearFit>& fits) {
  return std::max_element(fits.begin(), fits.end(),
                          [](const LinearFit& a, const LinearFit& b) { return a.accuracy < b.accuracy; })
      ->l2;
}

// W f + b = (W / std) f + (b − (W / std) mean).
void take_coefficients(LinearProbe& probe, const Coefficients& coefficients, const Scale& scale) {
  probe.weight = coefficients.weight(coefficients.values);
  probe.bias = coefficients.bias(coefficients.values);
  for (std::int64_t c = 0; c < coefficients.classes; ++c)
    for (std::int64_t d = 0; d < coefficients.width; ++d) {
      double& w = probe.weight.data<double>()[c * coefficients.width + d];
      w *= scale.inverse_std[static_cast<std::size_t>(d)];
      probe.bias.data<double>()[c] -= w * scale.mean[static_cast<std::size_t>(d)];
    }
}

void check_options(const Features& train, const Features& test, const LinearProbeOptions& options) {
  if (options.l2) check_number(option_name("l2"), *options.l2, above(0));
  check_number(option_name("gradient_bound"), options.gradient_bound, above(0));
  check_number(option_name("max_iterations"), options.max_iterations, at_least(1));
  check_features(train, "linear: the training features");
  check_features(test, "linear: the test features");
  check(train.width() == test.width(), "linear: {} features of a training image, {} of a test image",
        train.width(), test.width());
  check(train.size() >= 10, "linear: {} training images; expected at least 10, to hold out a tenth",
        train.size());
  const auto [least, most] = std::minmax_element(train.labels.begin(), train.labels.end());
  check(*least != *most, "linear: all training images are of class {}; expected at least 2 classes", *least);
}

std::vector<std::int64_t> in_order(std::int64_t n) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
  return rows;
}

}  // namespace

const std::vector<double>& linear_probe_grid() {
  static const std::vector<double> grid{1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
  return grid;
}

LinearProbe linear_probe(const Features& train, const Features& test, const LinearProbeOptions& options) {
  check_options(train, test, options);
  LinearProbe probe{.samples = test.size(), .classes = train.classes(), .width = train.width()};
  const Scale scale = scale_of(train.values);
  const Random random{.seed = options.seed, .stream = Stream::probe};
  const Samples samples = standardised(train, scale, permutation(train.size(), random));
  Coefficients coefficients(probe.classes, probe.width);
  if (!options.l2) probe.held_out = fit_grid(samples, coefficients, options);
  probe.fit = fit_from(coefficients, samples, options.l2 ? *options.l2 : best_l2(probe.held_out), options);
  probe.fit.accuracy = share_right(samples, coefficients);

  const Samples tested = standardised(test, scale, in_order(test.size()));
  probe.correct = count_among(tested, coefficients, 1);
  probe.top1 = static_cast<double>(probe.correct) / static_cast<double>(probe.samples);
  probe.top5 = static_cast<double>(count_among(tested, coefficients, 5)) / static_cast<double>(probe.samples);
  take_coefficients(probe, coefficients, scale);
  return probe;
}

}  // namespace lamina
