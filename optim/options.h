// Every knob of every optimizer. Defaults are the preset `paper` (SGD and AdamW: torch.optim's); the other
// presets are settings of these same knobs (optim/preset_table.cpp), where each also has its name as text.
#pragma once

#include <cstdint>
#include <limits>

#include "optim/groups.h"

namespace lamina {

inline constexpr double unbounded = std::numeric_limits<double>::infinity();

// Outside: v collects gradients and the step is lr * v. Inside: v collects lr * gradient, so that the small
// learning rates of a warm-up live on in it. They differ only while the learning rate changes.
enum class MomentumLr { outside, inside };

struct SgdOptions {
  double lr = 0.1;
  double momentum = 0.9;
  double weight_decay = 0;  // b; L2: b w is added to the gradient
  bool nesterov = false;
  double dampening = 0;  // not in the first step, which starts v with the gradient
  MomentumLr momentum_lr = MomentumLr::outside;
  double max_grad_norm = 0;  // of the whole model's gradient; 0: no clipping
  Groups groups = {.decay = AppliesTo::all};
};

// What multiplies weight decay: the learning rate (PyTorch), or its share of the peak (the paper's Alg. 2).
enum class DecayScale { lr, schedule };

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  DecayScale decay_scale = DecayScale::lr;
  double max_grad_norm = 0;  // of the whole model's gradient; 0: no clipping
  Groups groups = {.decay = AppliesTo::all};
};

// A tensor whose weights or gradient are all zero has no ratio. It gets
enum class ZeroNorm {
  one,                // ratio 1: a zero-initialised bias moves
  one_without_decay,  // ratio 1, and no weight decay in this step
  raw,                // the quotient as it comes: 0 freezes the tensor, 0 / 0 is NaN
};

struct RatioOptions {
  double eps = 0;              // added to the denominator
  double weight_norm_min = 0;  // ||w|| is clamped: LAMB's phi
  double weight_norm_max = unbounded;
  double update_norm_max = unbounded;  // the denominator is clamped, before eps
  double ratio_min = 0;
  double ratio_max = unbounded;
  ZeroNorm zero_norm = ZeroNorm::one;
};

// The denominator of LARS' ratio, with g the gradient and v the momentum after this step.
enum class Denominator {
  split,           // ||g|| + b ||w||
  joint,           // ||g + b w||
  grad_only,       // ||g||
  after_momentum,  // ||v||; the ratio then multiplies the step instead of the gradient
};

struct LarsForm {  // in which public implementations of LARS and TVLARS differ
  Denominator denominator = Denominator::split;
  MomentumLr momentum_lr = MomentumLr::inside;
  bool nesterov = false;
  double dampening = 0;
  bool larc_clip = false;  // ratio <- min(ratio / lr, 1): never above the plain learning rate
  RatioOptions ratio = {};
};

struct LarsOptions {
  double lr = 1;
  double momentum = 0.9;
  double weight_decay = 5e-4;
  double trust_coefficient = 1e-3;  // eta
  double max_grad_norm = 0;         // of the whole model's gradient; 0: no clipping
  LarsForm form = {};
  Groups groups = {};
};

enum class TimeUnit { steps, epochs };
enum class PhiForm {
  logistic,     // 1 / (alpha + exp(lambda (t - d_e))) + gamma_min
  exponential,  // exp(-lambda (t - d_e)) + gamma_min
};

struct TvLarsOptions {
  double lr = 1;  // gamma_target
  double momentum = 0.9;
  double weight_decay = 5e-4;
  double lambda = 1e-3;              // how fast phi falls, per unit of t
  double delay_epochs = 0;           // d_e
  std::int64_t steps_per_epoch = 0;  // needed where epochs and steps meet; 0: unknown
  double alpha = 1;                  // phi stays below 1 / alpha + gamma_min
  double gamma_min = 0;              // the paper: batch / base batch * 0.001
  TimeUnit time_unit = TimeUnit::steps;
  std::int64_t first_time = 0;   // t of the first step: 0 or 1
  double hard_delay_epochs = 0;  // phi is 1 before
  PhiForm phi_form = PhiForm::logistic;
  double trust_coefficient = 1e-3;  // eta
  double max_grad_norm = 0;         // of the whole model's gradient; 0: no clipping
  LarsForm form = {.denominator = Denominator::joint, .nesterov = true};
  Groups groups = {};
};

// Where 1 - beta^t goes: into both moments (Alg. 2), nowhere (v3 of the paper), or into the step size only.
enum class BiasCorrection { moments, none, step_size };
enum class EpsMode { outside /* sqrt(v) + eps */, inside /* sqrt(v + eps) */ };
enum class DecayMode { in_update /* u = r + b w */, l2 /* g + b w */, decoupled /* w <- (1 - lr b) w */ };

struct LambOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0.01;
  double max_grad_norm = 0;  // of the whole model's gradient; 0: no clipping
  BiasCorrection bias_correction = BiasCorrection::moments;
  EpsMode eps_mode = EpsMode::outside;
  DecayMode decay_mode = DecayMode::in_update;
  bool grad_averaging = true;   // m <- beta1 m + (1 - beta1) g; off: + g
  bool use_trust_ratio = true;  // off: the ratio is 1
  RatioOptions ratio = {};
  Groups groups = {};
};

}  // namespace lamina
