// Memory of the CPU, and the one instance of its backend.
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "core/cpu/cpu_backend.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

void copy_bytes(const void* source, void* destination, std::size_t bytes) {
  if (source == destination) return;
  constexpr std::int64_t chunk = 1 << 20;
  const auto* from = static_cast<const std::byte*>(source);
  auto* to = static_cast<std::byte*>(destination);
  parallel_for(static_cast<std::int64_t>(bytes), chunk, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
  });
}

class Repetition final : public Graph {
 public:
  explicit Repetition(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

Allocator& CpuBackend::allocator() { return allocator_; }

void CpuBackend::copy_from_host(const void* source, Tensor& to) { copy_bytes(source, to.raw(), to.bytes()); }

void CpuBackend::copy_to_host(const Tensor& from, void* destination) {
  copy_bytes(from.raw(), destination, from.bytes());
}

void CpuBackend::copy(const Tensor& from, Tensor& to) { copy_bytes(from.raw(), to.raw(), to.bytes()); }

void CpuBackend::synchronize() {}  // kernels have finished when they return

// The CPU does at once what it is told: there is nothing to capture.
std::unique_ptr<Graph> CpuBackend::capture(const std::function<void()>& work) {
  return std::make_unique<Repetition>(work);
}

void CpuBackend::warm_up(const std::function<void()>& work) { work(); }

}  // namespace lamina

namespace lamina::cpu::LAMINA_INSTRUCTION_SET {

Backend& backend() {
  // Never destroyed: tensors held by static or thread-local objects may outlive any static of ours.
  alignas(CpuBackend) static std::byte memory[sizeof(CpuBackend)];
  static CpuBackend& only = *std::construct_at(reinterpret_cast<CpuBackend*>(memory));
  return only;
}

}  // namespace lamina::cpu::LAMINA_INSTRUCTION_SET
