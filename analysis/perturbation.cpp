#include "analysis/perturbation.h"

#include <algorithm>
#include <cmath>

#include "analysis/vectors.h"
#include "core/base/error.h"

namespace lamina::analysis {
namespace {

void check_options(const PerturbationOptions& options) {
  if (!(options.rho > 0 && std::isfinite(options.rho)) || options.draws < 2 || options.steps < 1)
    fail_usage("perturbation: rho {}, {} draws, {} steps; expected more than 0, 2 or more and 1 or more",
               options.rho, options.draws, options.steps);
}

// The surface at w + δ while it is measured there, and back at w.
class Displaced {
 public:
  explicit Displaced(const LossSurface& surface) : surface_(surface), w_(surface.position()) {}
  ~Displaced() { surface_.move_to(w_); }
  Displaced(const Displaced&) = delete;
  Displaced& operator=(const Displaced&) = delete;

  const Tensor& w() const { return w_; }
  void to(const Tensor& delta) const {
    const Tensor there = w_.clone();
    add_scaled(there, 1, delta);
    surface_.move_to(there);
  }

 private:
  const LossSurface& surface_;
  Tensor w_;
};

// x ← |w| x, for an adaptive measure; x itself otherwise.
void weigh(const Tensor& x, const Tensor& w, bool adaptive) {
  if (adaptive) multiply_by_magnitude(x, w);
}

// The δ of ‖δ/c‖ = ρ in whose direction the loss rises most: ρ c² g/‖c g‖. Zeros where g is 0.
Tensor steepest(const Tensor& gradient, const Tensor& w, const PerturbationOptions& options) {
  Tensor delta = gradient.clone();
  weigh(delta, w, options.adaptive);
  const double size = length(delta);
  weigh(delta, w, options.adaptive);
  if (size > 0) scale(delta, options.rho / size);
  return delta;
}

}  // namespace

double one_step_rise(const LossSurface& surface, const PerturbationOptions& options) {
  check_options(options);
  const Displaced displaced(surface);
  const Tensor gradient = Tensor::zeros_like(displaced.w());
  const double before = surface.gradient(gradient);
  displaced.to(steepest(gradient, displaced.w(), options));
  return surface.value().loss() - before;
}

AverageRise average_rise(const LossSurface& surface, const PerturbationOptions& options) {
  check_options(options);
  const Displaced displaced(surface);
  const double before = surface.value().loss();
  double sum = 0, squares = 0;
  for (int draw = 0; draw < options.draws; ++draw) {
    const Tensor delta = Tensor::randn(
        {surface.size()},
        {.dtype = surface.dtype(), .seed = options.seed, .draw = static_cast<std::uint32_t>(draw)});
    weigh(delta, displaced.w(), options.adaptive);
    scale(delta, options.rho);
    displaced.to(delta);
    const double rise = surface.value().loss() - before;
    sum += rise;
    squares += rise * rise;
    if (options.progress) options.progress(draw + 1, options.draws);
  }
  const double n = options.draws, mean = sum / n;
  return {.mean = mean, .standard_error = std::sqrt(std::max(0.0, squares / n - mean * mean) / (n - 1))};
}

double worst_rise(const LossSurface& surface, const PerturbationOptions& options) {
  check_options(options);
  const Displaced displaced(surface);
  const Tensor gradient = Tensor::zeros_like(displaced.w());
  const double before = surface.gradient(gradient);
  double worst = 0;
  // From the point where the loss rises steepest, again and again: on the sphere the fixed points of
  // δ = ρ c² g(w + δ)/‖c g(w + δ)‖ are where no direction along it leads further up.
  for (int step = 1; step <= options.steps; ++step) {
    displaced.to(steepest(gradient, displaced.w(), options));
    worst = std::max(worst, surface.gradient(gradient) - before);
    if (options.progress) options.progress(step, options.steps);
  }
  return worst;
}

}  // namespace lamina::analysis
