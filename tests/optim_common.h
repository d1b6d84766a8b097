// Small parameter sets for the optimizer tests.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "optim/presets.h"

namespace lamina::testing {

inline ParamKind kind_of(const std::string& name, const Tensor& value) {
  if (value.rank() >= 2) return ParamKind::weight;
  return name.starts_with("bn") ? ParamKind::norm : ParamKind::bias;
}

inline void add_param(ParamList& params, const std::string& name, const Tensor& value) {
  params.push_back(std::make_shared<Param>(Param{name, kind_of(name, value), value.detach().clone()}));
}

// Irregular numbers in [-1, 1), the same on every machine.
template <typename T>
Tensor numbers(const Shape& shape, std::uint32_t salt) {
  std::vector<T> values(static_cast<std::size_t>(shape.elements()));
  std::uint32_t state = salt * 2654435761u + 12345u;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<T>(static_cast<double>(state >> 8) / (1 << 23) - 1);
  }
  return Tensor::from(values, shape);
}

// Two convolutions (the first longer than a chunk of the engine), a norm, a linear layer; bn.bias is zero.
template <typename T>
ParamList model() {
  ParamList params;
  add_param(params, "conv1.weight", numbers<T>({40, 3, 3, 64}, 1));
  add_param(params, "bn.weight", numbers<T>({7}, 2));
  add_param(params, "bn.bias", Tensor::zeros({7}, {dtype_of<T>, {}}));
  add_param(params, "conv2.weight", numbers<T>({5, 3, 3, 3}, 3));
  add_param(params, "fc.weight", numbers<T>({4, 33}, 4));
  add_param(params, "fc.bias", numbers<T>({4}, 5));
  return params;
}

template <typename T>
void set_grad(const Param& param, std::uint32_t salt, double scale = 0.1) {
  std::vector<T> values = numbers<T>(param.value.shape(), salt).template to_vector<T>();
  for (T& value : values) value *= static_cast<T>(scale);
  Tensor grad = param.grad();
  grad.copy_from(Tensor::from(values, param.value.shape()));
}

template <typename T>
void set_grads(const ParamList& params, std::uint32_t salt) {
  for (const auto& param : params)
    set_grad<T>(*param, salt * 100 + static_cast<std::uint32_t>(param->name.size()));
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

inline const std::vector<std::string>& all_presets() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Preset& preset : presets()) list.push_back(std::string(preset.optimizer) + ":" + preset.name);
    return list;
  }();
  return names;
}

// Any preset, ready to run: 4 steps an epoch, some weight decay.
inline std::unique_ptr<Optimizer> make(const std::string& name, const ParamList& params,
                                       KnobSettings settings = {}) {
  settings.insert(settings.begin(), {"weight_decay", "0.01"});
  return make_optimizer(name, params, settings, {.batch = 1024, .steps_per_epoch = 4});
}

// A knob's value, as text; empty if the optimizer has no such knob.
inline std::string knob(const Optimizer& optimizer, const std::string& name) {
  for (const auto& [key, value] : optimizer.knobs())
    if (key == name) return value;
  return "";
}

inline std::string knob(const std::string& preset, const std::string& name) {
  for (const KnobHelp& help : knob_help(preset))
    if (help.name == name) return help.value;
  return "";
}

// Clipping by the norm of the whole gradient couples the layers on purpose.
inline bool couples_layers(const std::string& preset) {
  const std::string clip = knob(preset, "max_grad_norm");
  return !clip.empty() && clip != "0";
}

// An implementation without a guard: zero weights have ratio 0, zero weights and updates 0 / 0.
inline bool freezes_zeros(const std::string& preset) { return knob(preset, "zero_norm") == "raw"; }

}  // namespace lamina::testing
