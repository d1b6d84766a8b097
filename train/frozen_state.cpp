#include "train/frozen_state.h"

#include "core/base/digest.h"
#include "core/base/error.h"

namespace lamina::train {
namespace {

std::vector<std::pair<std::string, std::uint64_t>> digests_of(const Module& module) {
  std::vector<std::pair<std::string, std::uint64_t>> digests;
  for (const auto& param : module.state()) {
    const Tensor value = param->value.to(Device::cpu());
    digests.emplace_back(param->name, digest_of_bytes(value.raw(), value.bytes()));
  }
  return digests;
}

}  // namespace

FrozenState::FrozenState(const Module& module) : digests_(digests_of(module)) {}

void FrozenState::check_unchanged(const Module& module, const std::string& operation) const {
  const auto now = digests_of(module);
  check(now.size() == digests_.size(), "{}: {} had {} parameters and buffers and has {} now", operation,
        module.kind(), digests_.size(), now.size());
  for (std::size_t i = 0; i < now.size(); ++i)
    check(
        now[i] == digests_[i],
        "{}: {} has changed its {}, but it is frozen; a module must leave its parameters and buffers as they "
        "are in evaluation mode",
        operation, module.kind(), now[i].first);
}

}  // namespace lamina::train
