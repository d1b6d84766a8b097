// Frozen means frozen: what must not change a network is held to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/param.h"

namespace lamina::train {

// Of all names and values: 16 hexadecimal digits.
std::string digest_of(const ParamList& state);

// Digests of parameters and buffers, Module::state() or those of them that must not change, as they were when
// this was made.
class FrozenState {
 public:
  explicit FrozenState(ParamList state);

  // Throws Error naming the first tensor that is another by now. `operation`: what must not have changed it,
  // and `owner` whose it is.
  void check_unchanged(const std::string& operation, const std::string& owner) const;

 private:
  ParamList state_;
  std::vector<std::uint64_t> digests_;
};

}  // namespace lamina::train
