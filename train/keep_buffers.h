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

}  // namespace lamina::train
