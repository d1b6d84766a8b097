// A named parameter or buffer of a model: what layers make, optimizers step and files store.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace lamina {

enum class ParamKind {
  weight,  // of a convolution or linear layer: decays, adapts
  bias,    // of a convolution or linear layer
  norm,    // scale and shift of a normalisation layer
  buffer,  // not trained: running statistics
};

constexpr const char* name_of(ParamKind kind) {
  switch (kind) {
    case ParamKind::weight:
      return "weight";
    case ParamKind::bias:
      return "bias";
    case ParamKind::norm:
      return "norm";
    case ParamKind::buffer:
      return "buffer";
  }
  return "?";
}

struct Param {
  std::string name;  // "layer1.0.conv1.weight", as in torchvision
  ParamKind kind = ParamKind::weight;
  Tensor value;         // a leaf of the tape if it is trainable; an optimizer moves it into its arena
  bool frozen = false;  // stays as it is, and has no gradient: set by freeze() and by optimizers' groups

  bool trainable() const { return kind != ParamKind::buffer && !frozen; }
  const Tensor& grad() const { return value.grad(); }
  void set_frozen(bool on) {
    if (frozen == on) return;
    frozen = on;
    value = value.detach();
    if (trainable()) value.requires_grad_();
  }
};

// Shared by the module that computes with it and the optimizer that steps it.
using ParamList = std::vector<std::shared_ptr<Param>>;

}  // namespace lamina
