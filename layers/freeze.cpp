#include "layers/freeze.h"

#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/name_pattern.h"

namespace lamina {
namespace {

void set_frozen(Module& module, const char* operation, const std::string& pattern, bool on) {
  std::vector<std::string> names;
  bool found = false;
  for (const auto& param : module.parameters()) {
    names.push_back(param->name);
    if (!matches(param->name, pattern)) continue;
    found = true;
    param->set_frozen(on);
  }
  if (!found)
    fail_usage("{} {}: no parameter of {} has such a name; near: {}", operation, pattern, module.kind(),
               fmt::join(nearest_matches(pattern, names, 3), ", "));
}

}  // namespace

void freeze(Module& module, const std::string& pattern) { set_frozen(module, "freeze", pattern, true); }
void unfreeze(Module& module, const std::string& pattern) { set_frozen(module, "unfreeze", pattern, false); }

}  // namespace lamina
