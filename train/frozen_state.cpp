#include "train/frozen_state.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/digest.h"
#include "core/base/error.h"

namespace lamina::train {
namespace {

std::vector<std::uint64_t> digests_of(const ParamList& state) {
  std::vector<std::uint64_t> digests;
  for (const auto& param : state) {
    const Tensor value = param->value.to(Device::cpu());
    digests.push_back(digest_of_bytes(value.raw(), value.bytes()));
  }
  return digests;
}

}  // namespace

std::string digest_of(const ParamList& state) {
  std::string all;
  const std::vector<std::uint64_t> digests = digests_of(state);
  for (std::size_t i = 0; i < digests.size(); ++i)
    all += fmt::format("{} {:016x}\n", state[i]->name, digests[i]);
  return fmt::format("{:016x}", digest_of_bytes(all.data(), all.size()));
}

FrozenState::FrozenState(ParamList state) : state_(std::move(state)), digests_(digests_of(state_)) {}

void FrozenState::check_unchanged(const std::string& operation, const std::string& owner) const {
  const std::vector<std::uint64_t> now = digests_of(state_);
  for (std::size_t i = 0; i < now.size(); ++i)
    check(now[i] == digests_[i],
          "{}: {} has changed its {}, but it is frozen; a module must leave its parameters and buffers as "
          "they are in evaluation mode",
          operation, owner, state_[i]->name);
}

}  // namespace lamina::train
