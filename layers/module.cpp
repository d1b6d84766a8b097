#include "layers/module.h"

#include <cxxabi.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/nearest.h"

namespace lamina {

namespace {

thread_local ForwardObserver* current_observer = nullptr;

void collect_modes(Module& module, std::vector<bool>& modes) {
  modes.push_back(module.training());
  for (const auto& child : module.children()) collect_modes(*child, modes);
}

void collect_paths(const Module& module, const std::string& prefix, std::vector<std::string>& paths) {
  for (const auto& child : module.children()) {
    paths.push_back(prefix + child->name());
    collect_paths(*child, paths.back() + ".", paths);
  }
}

[[noreturn]] void fail_unknown(const Module& module, const char* what, const std::string& name,
                               const std::vector<std::string>& known) {
  const std::string where = module.path().empty() ? module.kind() : module.path();
  if (known.empty()) fail("{}: no {} \"{}\": it has none", where, what, name);
  fail("{}: no {} \"{}\"; the nearest of its {}: {}", where, what, name, known.size(),
       fmt::join(nearest(name, known, 3), ", "));
}

// "lamina::Conv2d"
std::string type_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type.name();
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

Module* Module::find_child(const std::string& path) const {
  const Module* parent = this;
  Module* found = nullptr;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    const auto place = std::find_if(parent->children_.begin(), parent->children_.end(),
                                    [&](const auto& child) { return child->name() == part; });
    if (place == parent->children_.end()) {
      std::vector<std::string> paths;
      collect_paths(*this, "", paths);
      fail_unknown(*this, "part", path, paths);
    }
    parent = found = place->get();
    begin = end + 1;
  }
  return found;
}

void Module::fail_kind(const std::string& path, const Module& found, const std::type_info& wanted) {
  fail("part \"{}\": is a {}, not a {}", path, found.kind(), type_name(wanted));
}

Param& Module::parameter(const std::string& name) const {
  const std::string prefix = path_.empty() ? "" : path_ + ".";
  std::vector<std::string> names;
  for (const auto& param : state()) {
    if (param->name == prefix + name) return *param;
    names.push_back(param->name.substr(prefix.size()));
  }
  fail_unknown(*this, "parameter", name, names);
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

void Module::remove_child(const std::string& name) {
  std::erase_if(children_, [&](const auto& child) { return child->name() == name; });
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
