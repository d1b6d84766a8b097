// Passes through a model that must leave no trace in it.
#pragma once

#include <utility>
#include <vector>

#include "layers/module.h"

namespace lamina::train {

// While alive the module may run in training mode; then its buffers, such as running statistics, are as
// before.
class KeepBuffers {
 public:
  explicit KeepBuffers(const Module& module) {
    for (const auto& param : module.state())
      if (param->kind == ParamKind::buffer) kept_.emplace_back(param, param->value.clone());
  }
  ~KeepBuffers() {
    for (const auto& [param, before] : kept_) param->value.copy_from(before);
  }
  KeepBuffers(const KeepBuffers&) = delete;
  KeepBuffers& operator=(const KeepBuffers&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<Param>, Tensor>> kept_;
};

// A second set of a module's buffers, such as running statistics, at first with the same values. With one set
// for each of two passes over a batch, both passes start from the same ones.
class SpareBuffers {
 public:
  explicit SpareBuffers(const Module& module) {
    for (const auto& param : module.state())
      if (param->kind == ParamKind::buffer) buffers_.emplace_back(param, param->value.clone());
  }

  // While alive, the module has these, and they are where its own were.
  class InUse {
   public:
    explicit InUse(SpareBuffers& buffers) : buffers_(buffers) { buffers_.swap(); }
    ~InUse() { buffers_.swap(); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    SpareBuffers& buffers_;
  };

 private:
  void swap() {
    for (auto& [param, other] : buffers_) {
      const Tensor value = param->value.clone();
      param->value.copy_from(other);
      other = value;
    }
  }

  std::vector<std::pair<std::shared_ptr<Param>, Tensor>> buffers_;
};

}  // namespace lamina::train
