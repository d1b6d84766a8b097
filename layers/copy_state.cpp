#include "layers/copy_state.h"

#include <map>

#include "core/base/error.h"
#include "core/ops/elementwise.h"

namespace lamina {

namespace {

using StateByName = std::map<std::string, std::shared_ptr<Param>>;

StateByName state_by_name(const Module& module) {
  const std::size_t prefix = module.path().empty() ? 0 : module.path().size() + 1;
  StateByName state;
  for (const auto& param : module.state()) state[param->name.substr(prefix)] = param;
  return state;
}

void check_all_in(const StateByName& state, const StateByName& other, const char* side) {
  for (const auto& [name, param] : state) {
    check(other.contains(name), "copy_state: {} is in the module {} alone; the two must be alike", name,
          side);
  }
}

}  // namespace

void copy_state(const Module& from, Module& to) {
  const StateByName sources = state_by_name(from), targets = state_by_name(to);
  check_all_in(sources, targets, "copied from");
  check_all_in(targets, sources, "copied to");
  for (const auto& [name, target] : targets) {
    const Tensor& source = sources.at(name)->value;
    check(source.shape() == target->value.shape(),
          "copy_state: {} is {} here and {} there; shapes must agree", name, source.str(),
          target->value.str());
  }
  for (const auto& [name, target] : targets)
    target->value.copy_from(cast(sources.at(name)->value.detach(), target->value.dtype()));
}

}  // namespace lamina
