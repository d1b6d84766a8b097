#include "layers/module.h"

#include <algorithm>
#include <optional>

#include "core/autograd.h"
#include "core/base/error.h"

namespace lamina {

namespace {

thread_local ForwardObserver* current_observer = nullptr;

void collect_modes(Module& module, std::vector<bool>& modes) {
  modes.push_back(module.training());
  for (const auto& child : module.children()) collect_modes(*child, modes);
}

}  // namespace

Tensor Module::operator()(const Tensor& x) {
  return run(x, [&] { return forward(x); });
}

Tensor Module::run(const Tensor& x, const std::function<Tensor()>& compute) {
  std::optional<Scope> scope;
  if (!path_.empty()) scope.emplace(name());
  Tensor y = compute();
  if (current_observer != nullptr) current_observer->function_(*this, x, y);
  return y;
}

ParamList Module::parameters() const {
  ParamList list = state();
  std::erase_if(list, [](const std::shared_ptr<Param>& param) { return param->kind == ParamKind::buffer; });
  return list;
}

ParamList Module::state() const {
  ParamList list = params_;
  list.insert(list.end(), buffers_.begin(), buffers_.end());
  for (const auto& child : children_) {
    const ParamList below = child->state();
    list.insert(list.end(), below.begin(), below.end());
  }
  return list;
}

void Module::train(bool on) {
  training_ = on;
  for (const auto& child : children_) child->train(on);
}

std::int64_t Module::multiply_adds(const Shape&, const Shape&) const { return 0; }

std::string Module::claim(const std::string& name) const {
  std::string path = path_.empty() ? name : path_ + "." + name;
  const auto has_name = [&](const auto& param) { return param->name == path; };
  const bool taken = std::any_of(params_.begin(), params_.end(), has_name) ||
                     std::any_of(buffers_.begin(), buffers_.end(), has_name) ||
                     std::any_of(children_.begin(), children_.end(),
                                 [&](const auto& child) { return child->path_ == path; });
  check(!name.empty() && name.find('.') == std::string::npos && !taken,
        "Module \"{}\": \"{}\" cannot name a part of it: names are not empty, have no dot and occur once",
        path_, name);
  return path;
}

void Module::adopt(const std::string& name, std::unique_ptr<Module> child) {
  child->set_path(claim(name));
  children_.push_back(std::move(child));
}

void Module::set_path(const std::string& path) {
  path_ = path;
  for (const ParamList* list : {&params_, &buffers_}) {
    for (const auto& param : *list) param->name = path + "." + param->name.substr(param->name.rfind('.') + 1);
  }
  for (const auto& child : children_) child->set_path(path + "." + child->name());
}

std::shared_ptr<Param> Module::add_param(const std::string& name, ParamKind kind, Tensor value) {
  auto param = std::make_shared<Param>(Param{claim(name), kind, std::move(value)});
  if (param->trainable()) param->value.requires_grad_();
  (param->trainable() ? params_ : buffers_).push_back(param);
  return param;
}

EvalMode::EvalMode(Module& module) : module_(module) {
  collect_modes(module, previous_);
  module.eval();
}

EvalMode::~EvalMode() {
  std::size_t next = 0;
  const std::function<void(Module&)> restore = [&](Module& module) {
    module.train(previous_[next++]);
    for (const auto& child : module.children()) restore(*child);
  };
  restore(module_);
}

ForwardObserver::ForwardObserver(Function function)
    : function_(std::move(function)), previous_(current_observer) {
  current_observer = this;
}

ForwardObserver::~ForwardObserver() { current_observer = previous_; }

}  // namespace lamina
