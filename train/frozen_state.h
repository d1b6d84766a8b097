// Frozen means frozen: what must not change a network is held to it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "layers/module.h"

namespace lamina::train {

// Digests of all parameters and buffers of a module, as they were when this was made.
class FrozenState {
 public:
  explicit FrozenState(const Module& module);

  // Throws Error naming the first tensor that is another by now. `operation`: what must not have changed it.
  void check_unchanged(const Module& module, const std::string& operation) const;

 private:
  std::vector<std::pair<std::string, std::uint64_t>> digests_;  // by the tensors' names
};

}  // namespace lamina::train
