// The loss as a function of the parameters alone: L(w) over fixed samples, with its gradient and the products
// of its Hessian H = ∂²L/∂w² with vectors, exact by two backward passes (Pearlmutter: "Fast Exact
// Multiplication by the Hessian", 1994). L is what the objective gives: weight decay is not in it.
//
//   LossSurface surface(objective, fixed_parts(loader, device), BatchNormMode::eval);
//   const Tensor v = Tensor::randn({surface.size()});
//   const Tensor hv = surface.product(v);
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/param.h"
#include "core/tensor.h"
#include "data/loader.h"
#include "layers/module.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace lamina::analysis {

// What batch normalisation normalises with. It is the largest knob of all: curvatures differ by several
// times.
enum class BatchNormMode {
  eval,   // the running statistics: L does not depend on how the samples are split
  train,  // those of each part, which so belongs to the function; running statistics are left alone
};
constexpr const char* name_of(BatchNormMode mode) { return mode == BatchNormMode::eval ? "eval" : "train"; }

// The parts of a loader's first epoch, kept. Throws UsageError for a loader that repeats its batches.
std::vector<data::Part> fixed_parts(const data::Loader& loader, Device device = {});

// A parameter's place in a vector of parameter space.
struct ParameterRange {
  std::string name;  // "layer1.0.conv1.weight"
  ParamKind kind = ParamKind::weight;
  std::int64_t first = 0, size = 0;
};

// A vector of some of the parameters, and the product of their block of H with it.
struct BlockProduct {
  std::vector<std::size_t> parameters;  // ascending
  Tensor vector;                        // [their sizes' sum], on the CPU
  Tensor product;                       // likewise; overwritten
};

class LossSurface {
 public:
  // The module's trainable parameters, at whose values it stands. The objective must outlive it. Throws
  // UsageError for no parts, parts of one sample that would be normalised by themselves, and parameters of
  // several dtypes or in bf16.
  LossSurface(Objective& objective, std::vector<data::Part> parts, BatchNormMode mode);

  std::int64_t size() const { return size_; }
  DType dtype() const { return dtype_; }  // of vectors, as of the parameters
  std::int64_t samples() const { return samples_; }
  BatchNormMode batch_norm() const { return mode_; }
  const std::vector<ParameterRange>& parameters() const { return parameters_; }
  Objective& objective() const { return objective_; }
  const std::vector<data::Part>& parts() const { return parts_; }

  // w [size()] on the CPU: a copy of the parameters, and the way back. Buffers stay as they are.
  Tensor position() const;
  void move_to(const Tensor& w) const;

  // L at w (Metrics::loss()) and the objective's metrics. Of a loss over whole batches L is the mean of
  // theirs, weighed by their samples.
  Metrics value() const;
  double gradient(const Tensor& gradient) const;  // L(w); ∂L/∂w goes into a vector [size()] on the CPU

  // Hv. Several at once share the first backward pass of each part, so n of them take some (1 + 2n) / 3 times
  // as long as one. Throws Error for vectors of another size and products that are not finite.
  Tensor product(const Tensor& v) const;
  std::vector<Tensor> products(std::span<const Tensor> v) const;
  // Products within blocks: H_kk v. A block's takes less, the nearer it is to the output.
  void products(std::span<BlockProduct> blocks) const;
  std::int64_t products_made() const { return products_made_; }

 private:
  double weight(const data::Part& part) const;
  std::vector<Tensor> leaves(std::span<const std::size_t> parameters) const;
  void add_products(const data::Part& part, std::span<BlockProduct> blocks) const;

  Objective& objective_;
  std::vector<data::Part> parts_;
  BatchNormMode mode_;
  ParamList params_;
  std::vector<ParameterRange> parameters_;
  std::int64_t size_ = 0, samples_ = 0;
  DType dtype_ = DType::f32;
  mutable std::int64_t products_made_ = 0;
};

}  // namespace lamina::analysis
