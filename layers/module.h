// Module: a part of a model. It owns its parameters and its children, and computes with forward().
//
//   class Mlp : public Module {
//    public:
//     Mlp() : hidden_(&add_child<Linear>("hidden", 784, 128)), out_(&add_child<Linear>("out", 128, 10)) {}
//     std::string kind() const override { return "Mlp"; }
//    private:
//     Tensor forward(const Tensor& x) override { return (*out_)(relu((*hidden_)(x))); }
//     Linear *hidden_, *out_;  // owned by Module; they stay in place when the Mlp is moved
//   };
//   Mlp mlp;
//   initialise(mlp);  // layers/init.h
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "core/param.h"
#include "core/tensor.h"

namespace lamina {

class Module {
 public:
  virtual ~Module() = default;
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  Tensor operator()(const Tensor& x);  // forward(), inside a Scope of this module's name

  // Own ones first, then those of the children, in order of registration: the order of PyTorch's state_dict.
  // Param::name is the dotted path from the root of the model: "layer1.0.conv1.weight".
  ParamList parameters() const;  // frozen ones, too
  ParamList state() const;       // and the buffers: everything a weight file holds

  // Training mode (the default) or evaluation, for this module and all below.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  // "layer1.0.conv1" from the root of the model, and its last part; both empty at the root.
  const std::string& path() const { return path_; }
  std::string name() const { return path_.substr(path_.rfind('.') + 1); }
  const std::vector<std::unique_ptr<Module>>& children() const { return children_; }

  // The part at a path from here: child("layer1.0"). Throws Error with the nearest paths if there is none.
  Module& child(const std::string& path) { return *find_child(path); }
  const Module& child(const std::string& path) const { return *find_child(path); }
  // The same as what it is: child<Conv2d>("layer1.0.conv1"). Throws Error if it is something else.
  template <typename M>
  M& child(const std::string& path) {
    return checked_kind<M>(path, child(path));
  }
  template <typename M>
  const M& child(const std::string& path) const {
    return checked_kind<const M>(path, child(path));
  }
  // The parameter or buffer of a name from here: parameter("layer1.0.conv1.weight"). Throws Error with the
  // nearest names if there is none.
  Param& parameter(const std::string& name) const;

  // For summary(): what it is, and the multiply-adds it spends itself (not its children) from x to y.
  virtual std::string kind() const = 0;
  virtual std::int64_t multiply_adds(const Shape& x, const Shape& y) const;

 protected:
  Module() = default;
  virtual Tensor forward(const Tensor& x) = 0;

  // For modules with a second way of being called: `compute` within the Scope and under the observer.
  Tensor run(const Tensor& x, const std::function<Tensor()>& compute);

  // Constructs a child here; it lives as long as this module. `name` must be new and without a dot.
  template <typename M, typename... Args>
  M& add_child(const std::string& name, Args&&... args) {
    auto child = std::make_unique<M>(std::forward<Args>(args)...);
    M& reference = *child;
    adopt(name, std::move(child));
    return reference;
  }
  // Trainable values become leaves of the tape. Read param->value at every forward pass, never keep the
  // Tensor: an optimizer moves the value into its arena.
  std::shared_ptr<Param> add_param(const std::string& name, ParamKind kind, Tensor value);

  // Ends the life of a child.
  void remove_child(const std::string& name);

 private:
  template <typename M, typename Found>
  static M& checked_kind(const std::string& path, Found& found) {
    M* module = dynamic_cast<M*>(&found);
    if (module == nullptr) fail_kind(path, found, typeid(M));
    return *module;
  }
  [[noreturn]] static void fail_kind(const std::string& path, const Module& found,
                                     const std::type_info& wanted);
  Module* find_child(const std::string& path) const;
  void adopt(const std::string& name, std::unique_ptr<Module> child);
  void set_path(const std::string& path);
  std::string claim(const std::string& name) const;  // its dotted path, if the name is valid and new

  std::string path_;
  std::vector<std::unique_ptr<Module>> children_;
  ParamList params_;   // own, trainable
  ParamList buffers_;  // own
  bool training_ = true;
};

// Evaluation mode while alive; then every module returns to the mode it was in.
class EvalMode {
 public:
  explicit EvalMode(Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  Module& module_;
  std::vector<bool> previous_;
};

// While alive, told of every module that has run on this thread, innermost first.
class ForwardObserver {
 public:
  using Function = std::function<void(const Module& module, const Tensor& x, const Tensor& y)>;
  explicit ForwardObserver(Function function);
  ~ForwardObserver();
  ForwardObserver(const ForwardObserver&) = delete;
  ForwardObserver& operator=(const ForwardObserver&) = delete;

 private:
  friend class Module;
  Function function_;
  ForwardObserver* previous_;
};

}  // namespace lamina
