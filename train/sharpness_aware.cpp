#include "train/sharpness_aware.h"

#include <cmath>
#include <utility>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace lamina {
namespace {

constexpr double least_norm = 1e-12;  // added to the norm, as in public code: a zero gradient gives ε = 0

// Kwon et al. leave T at 1 for biases; their code scales what is named "weight".
bool is_scaled(const Segment& segment) {
  return segment.kind == ParamKind::weight ||
         (segment.kind == ParamKind::norm && segment.name.ends_with("weight"));
}

Tensor scaled_elements(const Arena& arena) {
  const Tensor scaled = Tensor::zeros_like(arena.values());
  for (const Segment& segment : arena.segments())
    if (is_scaled(segment)) arena.segment_of(scaled, segment).fill(1);
  return scaled;
}

void check_numbers(const SamOptions& options) {
  for (const auto& [name, value] : {std::pair("sam", options.rho), std::pair("sam_eta", options.eta)})
    if (!(value >= 0 && std::isfinite(value)))
      fail_usage("{} {}: expected a finite number, 0 or more", option_name(name), value);
}

// Its gradients may be finite where the loss is not, and would be stepped along: zero times it tells.
void add_if_not_finite(const Tensor& perturbed_sums, const Tensor& sums) {
  Tensor loss = sums.flat(0, {});
  backend_for(sums.device()).accumulate(perturbed_sums.flat(0, {}) * 0.0, loss);
}

}  // namespace

void check_sharpness_aware(const SamOptions& options, const data::LoaderOptions& loader,
                           bool needs_whole_batch) {
  check_numbers(options);
  if (options.rho == 0) return;
  const std::string m = option_name("sam_m"), micro_batch = option_name("micro_batch");
  if (options.m < 0 || options.m > loader.batch)
    fail_usage("{} {}: expected the samples of a part of {} {}, or 0 for one perturbation of all of them", m,
               options.m, option_name("batch"), loader.batch);
  if (options.m > 0 && loader.micro_batch > 0 && loader.micro_batch != options.m)
    fail_usage(
        "{} {} beside {} {}: a part has a perturbation of its own, so that parts are of that size; "
        "leave out {}",
        m, options.m, micro_batch, loader.micro_batch, micro_batch);
  const std::int64_t ranks = loader.share.of;
  if (options.m > 0 && ranks > 1 && loader.batch % (ranks * options.m) != 0)
    fail_usage(
        "{} {} on {} ranks, which share {} {}: a part with a perturbation of its own must not lie on two of "
        "them; choose a {} that is a multiple of {}",
        m, options.m, ranks, option_name("batch"), loader.batch, option_name("batch"), ranks * options.m);
  if (needs_whole_batch && ranks > 1)
    fail_usage(
        "{} {} on {} ranks: the loss compares the samples of a batch of {}, and of shares it would take two "
        "passes for each of the two gradients, which are not offered; leave out {}, or start one process",
        option_name("sam"), options.rho, ranks, loader.batch, option_name("sam"));
  const std::int64_t part = options.m > 0 ? options.m : loader.micro_batch;
  if (needs_whole_batch && part > 0 && part < loader.batch)
    fail_usage(
        "{} {} with {} {}: the loss compares the samples of a batch of {}, and of parts it would take "
        "two passes for each of the two gradients, which are not offered; leave out {}",
        option_name("sam"), options.rho, options.m > 0 ? m : micro_batch, part, loader.batch,
        options.m > 0 ? m : micro_batch);
}

SharpnessAware::SharpnessAware(Module& module, Optimizer& optimizer, const SamOptions& options)
    : module_(module), optimizer_(optimizer), options_(options) {
  check_numbers(options);
  const Arena& arena = optimizer.arena();
  if (options.adaptive) scaled_ = scaled_elements(arena);
  weights_ = Tensor::empty_like(arena.values());
  gathered_ = Tensor::empty_like(arena.grads());
}

SharpnessAware::~SharpnessAware() {
  if (is_perturbed()) restore();
}

void SharpnessAware::gradients(const std::function<void()>& backward) {
  begin();
  backward();
  perturb();
  try {
    backward();
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

void SharpnessAware::begin() {
  check(!is_perturbed(), "sharpness-aware: begin() while the weights are perturbed; restore() them first");
  Tensor(gathered_).copy_from(optimizer_.arena().grads());
  optimizer_.zero_grad();
  buffers_.emplace(module_);
}

// Foret et al., eq. 2, and Kwon et al., eq. 7: ε = ρ T² g / ‖T g‖
Tensor SharpnessAware::perturbation() const {
  const Tensor &w = optimizer_.arena().values(), &g = optimizer_.arena().grads();
  if (!scaled_.defined()) return g * (options_.rho / (norm(g) + least_norm));
  const Tensor t = where(scaled_, abs(w) + options_.eta, 1.0), tg = t * g;
  return t * tg * (options_.rho / (norm(tg) + least_norm));
}

void SharpnessAware::perturb() {
  check(buffers_ && !is_perturbed(), "sharpness-aware: perturb() without a begin() before it");
  if (add_up_) add_up_();
  const NoGrad no_grad;
  const Arena& arena = optimizer_.arena();
  const Tensor perturbed = arena.values() + perturbation();
  weights_.copy_from(arena.values());
  in_second_pass_.emplace(*buffers_);  // from here on restore() puts things right, whatever is thrown
  Tensor(arena.values()).copy_from(perturbed);
  Tensor(arena.grads()).copy_from(gathered_);
}

// From the copy: subtracting ε would round.
void SharpnessAware::restore() {
  check(is_perturbed(), "sharpness-aware: restore() of weights that are not perturbed");
  Tensor(optimizer_.arena().values()).copy_from(weights_);
  in_second_pass_.reset();
  buffers_.reset();
}

std::unique_ptr<SharpnessAware> make_sharpness_aware(Module& module, Optimizer& optimizer,
                                                     const std::optional<SamOptions>& options) {
  return perturbs(options) ? std::make_unique<SharpnessAware>(module, optimizer, *options) : nullptr;
}

void accumulate_gradients(Objective& objective, const data::Part& part, const Tensor& sums,
                          SharpnessAware* sharpness_aware) {
  if (sharpness_aware == nullptr) return accumulate_gradients(objective, part, sums);
  const Tensor perturbed_sums = Tensor::zeros_like(sums);  // measured at w + ε
  if (part.passes == 1) {
    Tensor measured = sums;
    sharpness_aware->gradients(
        [&] { accumulate_gradients(objective, part, std::exchange(measured, perturbed_sums)); });
    return add_if_not_finite(perturbed_sums, sums);
  }
  const bool is_first = part.pass == 0;
  if (part.begins_pass && is_first) sharpness_aware->begin();
  if (part.begins_pass && !is_first) sharpness_aware->perturb();
  data::Part once = part;  // as the objective knows it
  once.pass = 0;
  once.passes = 1;
  try {
    accumulate_gradients(objective, once, is_first ? sums : perturbed_sums);
  } catch (...) {
    if (sharpness_aware->is_perturbed()) sharpness_aware->restore();
    throw;
  }
  if (!is_first) add_if_not_finite(perturbed_sums, sums);
  if (part.completes_batch) sharpness_aware->restore();
}

std::string describe(const SamOptions& options) {
  std::string text = fmt::format("{}, rho {}", options.adaptive ? "ASAM" : "SAM", options.rho);
  if (options.adaptive) text += fmt::format(", eta {}", options.eta);
  if (options.m > 0) text += fmt::format(", m {}", options.m);
  return text;
}

}  // namespace lamina
