// Of the program whose cases need a GPU: without one it ends before the first and says how many there are.
#define CATCH_CONFIG_EXTERNAL_INTERFACES  // listeners, in version 2
#include <cstdio>
#include <cstdlib>

#include "catch.h"
#include "core/backend.h"

namespace lamina::tests {
namespace {

#if __has_include(<catch2/catch_all.hpp>)
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

class NeedsGpu : public Listener {
 public:
  using Listener::Listener;
  void testRunStarting(const Catch::TestRunInfo&) override {
    if (cuda_device_count() > 0) return;
    const auto& cases = Catch::getRegistryHub().getTestCaseRegistry().getAllTests();
    std::printf("CUDA kernels: %zu cases skipped: no device\n", cases.size());
    std::exit(0);
  }
};
CATCH_REGISTER_LISTENER(NeedsGpu)

}  // namespace
}  // namespace lamina::tests
