// Linked instead of core/cuda in a build without CUDA.
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/gpu_sums.h"

namespace lamina {

Backend& cuda_backend(int index) {
  fail(
      "device cuda:{}: this build of Lamina has no CUDA; configure with -DLAMINA_CUDA=ON and a CUDA toolkit, "
      "or use {} cpu",
      index, option_name("device"));
}

int cuda_device_count() { return 0; }

std::string cuda_obstacle(int) { return cuda_build_description(); }

std::string cuda_build_description() {
  return "none (built without CUDA; configure with -DLAMINA_CUDA=ON and a CUDA toolkit)";
}

std::vector<std::string> cuda_libraries() { return {}; }

std::string cuda_device_description(int) { return ""; }

std::string cuda_plan_report() { return ""; }

std::unique_ptr<GpuSums> connect_gpus(Collective&, Device device) {
  fail("{}: {}", device.str(), cuda_build_description());
}

}  // namespace lamina
