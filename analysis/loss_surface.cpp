#include "analysis/loss_surface.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/vectors.h"
#include "core/autograd.h"
#include "core/base/error.h"
#include "core/ops/ops.h"
#include "layers/batch_norm.h"
#include "train/keep_buffers.h"

namespace lamina::analysis {
namespace {

// The module as a function of its parameters; afterwards in the mode it was in, with the buffers it had.
class InMode {
 public:
  InMode(Module& module, BatchNormMode mode) : buffers_(module), previous_(module) {
    if (mode == BatchNormMode::train) module.train();
  }

 private:
  train::KeepBuffers buffers_;
  EvalMode previous_;
};

bool normalises_batches(const Module& module) {
  return std::any_of(module.children().begin(), module.children().end(),
                     [](const auto& child) { return normalises_batches(*child); }) ||
         dynamic_cast<const BatchNormLayer*>(&module) != nullptr;
}

// The elements of a vector that belong to a parameter, shaped and placed like it.
Tensor piece(const Tensor& vector, std::int64_t first, const Tensor& like) {
  return vector.flat(first, like.shape()).to(like.device());
}

// Adds a part's share, tensor by tensor, to the vector it belongs to.
class Sum {
 public:
  explicit Sum(const Tensor& vector) : vector_(vector) {}
  void add(const Tensor& piece) {
    const Tensor there = vector_.flat(at_, {piece.elements()});
    add_scaled(there, 1, piece.detach().view({piece.elements()}).to(Device{}));
    at_ += piece.elements();
  }

 private:
  const Tensor& vector_;
  std::int64_t at_ = 0;
};

void check_numbers(const char* what, const Tensor& vector) {
  check(std::isfinite(length(vector)),
        "{}: it is not finite; the weights or the loss are too large, or hold a NaN", what);
}

}  // namespace

BatchNormMode parse_batch_norm_mode(const std::string& name) {
  for (const BatchNormMode mode : {BatchNormMode::eval, BatchNormMode::train})
    if (name == name_of(mode)) return mode;
  fail_usage("batch norm {}: expected eval (running statistics) or train (those of each part)", name);
}

std::vector<data::Part> fixed_parts(const data::Loader& loader, Device device) {
  if (loader.options().passes != 1)
    fail_usage("fixed samples: the loader hands out each batch {} times; expected passes = 1",
               loader.options().passes);
  std::vector<data::Part> parts;
  for (const data::Part& part : loader.epoch(0, device)) parts.push_back(part);
  return parts;
}

LossSurface::LossSurface(Objective& objective, std::vector<data::Part> parts, BatchNormMode mode)
    : objective_(objective), parts_(std::move(parts)), mode_(mode) {
  for (const auto& param : objective.module().parameters())
    if (param->trainable()) params_.push_back(param);
  if (params_.empty() || parts_.empty())
    fail_usage("loss surface: {} parameters that are not frozen and {} parts; expected some of both",
               params_.size(), parts_.size());
  dtype_ = params_.front()->value.dtype();
  for (const auto& param : params_) {
    if (param->value.dtype() != dtype_ || dtype_ == DType::bf16)
      fail_usage("loss surface: parameter {} is {}; expected all in f32 or all in f64", param->name,
                 param->value);
    parameters_.push_back(
        {.name = param->name, .kind = param->kind, .first = size_, .size = param->value.elements()});
    size_ += param->value.elements();
  }
  for (const data::Part& part : parts_) {
    if (mode == BatchNormMode::train && part.size() == 1 && normalises_batches(objective.module()))
      fail_usage(
          "loss surface: batch normalisation in training mode would have the statistics of one sample; "
          "expected parts of 2 or more: {} parts came, one of them of a single sample",
          parts_.size());
    samples_ += part.size();
  }
}

Tensor LossSurface::position() const {
  Tensor w = Tensor::zeros({size_}, {.dtype = dtype_});
  Sum sum(w);
  for (const auto& param : params_) sum.add(param->value);
  return w;
}

void LossSurface::move_to(const Tensor& w) const {
  check(w.rank() == 1 && w.elements() == size_ && w.dtype() == dtype_,
        "loss surface: moved to {}; expected {} elements of {}", w, size_, name_of(dtype_));
  for (std::size_t i = 0; i < params_.size(); ++i) {
    Tensor value = params_[i]->value.detach();
    value.copy_from(w.flat(parameters_[i].first, value.shape()));
  }
}

// L = Σ over parts of share · (samples of its batch / samples in all): the shares of one batch add up to its
// loss.
double LossSurface::weight(const data::Part& part) const {
  return static_cast<double>(part.batch_samples) / static_cast<double>(samples_);
}

Metrics LossSurface::value() const {
  const InMode mode(objective_.module(), mode_);
  const NoGrad no_grad;
  Metrics sums{.samples = samples_, .sums = std::vector<double>(objective_.metrics().size())};
  for (const data::Part& part : parts_) {
    const PartLoss loss = objective_.loss(part);
    sums.loss_sum += loss.loss.item() * static_cast<double>(part.batch_samples);
    for (std::size_t i = 0; i < sums.sums.size(); ++i) sums.sums[i] += loss.metrics.at(i).item();
  }
  return sums;
}

std::vector<Tensor> LossSurface::leaves(std::span<const std::size_t> parameters) const {
  std::vector<Tensor> values;
  for (const std::size_t i : parameters) values.push_back(params_[i]->value);
  return values;
}

std::vector<std::size_t> LossSurface::all_parameters() const {
  std::vector<std::size_t> all(parameters_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

double LossSurface::gradient(const Tensor& gradient) const {
  const InMode mode(objective_.module(), mode_);
  check(gradient.elements() == size_ && gradient.dtype() == dtype_,
        "loss surface: the gradient was to go into {}; expected {} elements of {}", gradient, size_,
        name_of(dtype_));
  Tensor(gradient).fill(0);
  double loss = 0;
  const std::vector<std::size_t> all = all_parameters();
  for (const data::Part& part : parts_) {
    const Tensor share = checked_loss(objective_, part).loss * weight(part);
    loss += share.item();
    Sum sum(gradient);
    for (const Tensor& g : grad(share, leaves(all))) sum.add(g);
  }
  check_numbers("gradient", gradient);
  return loss;
}

void LossSurface::products(std::span<BlockProduct> blocks) const {
  const InMode mode(objective_.module(), mode_);
  for (BlockProduct& block : blocks) {
    std::int64_t elements = 0;
    for (const std::size_t i : block.parameters) elements += parameters_.at(i).size;
    check(block.vector.rank() == 1 && block.vector.elements() == elements && block.vector.dtype() == dtype_,
          "Hessian product: with {}; expected {} elements of {}", block.vector, elements, name_of(dtype_));
    block.product = Tensor::zeros_like(block.vector);
  }
  for (const data::Part& part : parts_) add_products(part, blocks);
  for (const BlockProduct& block : blocks) check_numbers("Hessian product", block.product);
}

// H_kk v = ∂⟨∂L/∂w_k, v⟩/∂w_k.
void LossSurface::add_products(const data::Part& part, std::span<BlockProduct> blocks) const {
  std::vector<std::size_t> wanted;  // parameters of any block
  for (const BlockProduct& block : blocks)
    wanted.insert(wanted.end(), block.parameters.begin(), block.parameters.end());
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());

  const Tensor share = checked_loss(objective_, part).loss * weight(part);
  const std::vector<Tensor> gradient = grad(share, leaves(wanted), {}, {.create_graph = true});
  for (BlockProduct& block : blocks) {
    Tensor product;  // ⟨∂L/∂w_k, v⟩, of the tensors that depend on w
    std::int64_t at = 0;
    for (const std::size_t i : block.parameters) {
      const auto found = std::lower_bound(wanted.begin(), wanted.end(), i) - wanted.begin();
      const Tensor& g = gradient[static_cast<std::size_t>(found)];
      if (g.requires_grad()) {
        const Tensor term = sum(g * piece(block.vector, at, g));
        product = product.defined() ? product + term : term;
      }
      at += parameters_[i].size;
    }
    if (!product.defined()) continue;
    const bool last = &block == &blocks.back();
    Sum sum(block.product);
    for (const Tensor& hv : grad(product, leaves(block.parameters), {}, {.retain_graph = !last})) sum.add(hv);
  }
}

Tensor LossSurface::product(const Tensor& v) const {
  BlockProduct whole{.parameters = all_parameters(), .vector = v, .product = {}};
  products(std::span(&whole, 1));
  return whole.product;
}

}  // namespace lamina::analysis
