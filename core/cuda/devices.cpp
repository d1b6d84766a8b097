#include "core/cuda/devices.h"
#include <fmt/format.h>

#include <cudnn_version.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "core/base/option_name.h"
#include "core/cuda/check.h"

namespace lamina {
namespace cuda {
namespace {

struct Version {  // as CUDA counts: 1000 * major + 10 * minor
  int number;
  std::string str() const { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }
};

// Of CMake's list: 80-real,90 makes 80, 90.
std::vector<int> built_architectures() {
  std::vector<int> found;
  const std::string_view list = LAMINA_CUDA_ARCHITECTURES;
  for (std::size_t begin = 0; begin < list.size();) {
    int architecture = 0;
    const auto [end, error] = std::from_chars(list.data() + begin, list.data() + list.size(), architecture);
    if (error == std::errc{}) found.push_back(architecture);
    begin = std::min(list.find(',', begin), list.size() - 1) + 1;
  }
  return found;
}

std::string architectures_text() {
  const std::vector<int> architectures = built_architectures();
  if (architectures.empty()) return LAMINA_CUDA_ARCHITECTURES;  // native, all-major, …
  return fmt::format("sm_{}", fmt::join(architectures, ", sm_"));
}

std::string gibibytes(std::size_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
}

int compute_capability(int index) {  // 90 for 9.0
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index),
             "asking about the GPU");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index),
             "asking about the GPU");
  return 10 * major + minor;
}

Version driver_version() {  // the newest CUDA it supports; 0: there is no driver
  Version version{0};
  cudaDriverGetVersion(&version.number);
  return version;
}

void check_driver(int index) {
  const Version driver = driver_version(), needed{CUDART_VERSION};
  check(driver.number > 0,
        "device cuda:{}: this machine has no NVIDIA driver; install one for CUDA {} or newer, or use "
        "{} cpu",
        index, needed.str(), option_name("device"));
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();  // or the next check would report it
  check(status != cudaErrorInsufficientDriver,
        "device cuda:{}: the NVIDIA driver supports CUDA {}, but this program was built with {}; update the "
        "driver, build with an older CUDA toolkit, or use {} cpu",
        index, driver.str(), needed.str(), option_name("device"));
  check(status != cudaErrorNoDevice && count > 0,
        "device cuda:{}: there is an NVIDIA driver, but no GPU that this program may use; see nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, or use {} cpu",
        index, option_name("device"));
  check_cuda(status, "looking for GPUs");
  check(index >= 0 && index < count, "device cuda:{} does not exist: there {} here, cuda:0{}", index,
        count == 1 ? "is 1 GPU" : fmt::format("are {} GPUs", count),
        count == 1 ? "" : fmt::format(" to cuda:{}", count - 1));
}

}  // namespace

void check_device(int index) {
  check_driver(index);
  const std::vector<int> built = built_architectures();
  const int capability = compute_capability(index);
  check(
      built.empty() || capability >= *std::min_element(built.begin(), built.end()),
      "device cuda:{} ({}): this program was built for {}; configure with -DCMAKE_CUDA_ARCHITECTURES={}, or "
      "use {} cpu",
      index, cuda_device_description(index), architectures_text(), capability, option_name("device"));
}

}  // namespace cuda

int cuda_device_count() {
  static const int count = [] {
    int found = 0;
    const bool usable = cudaGetDeviceCount(&found) == cudaSuccess;
    cudaGetLastError();
    return usable ? found : 0;
  }();
  return count;
}

std::string cuda_build_description() {
  return fmt::format("CUDA {}, cuDNN {}.{}, built for {}", cuda::Version{CUDART_VERSION}.str(), CUDNN_MAJOR,
                     CUDNN_MINOR, cuda::architectures_text());
}

std::string cuda_device_description(int index) {
  cudaDeviceProp properties{};
  cuda::check_cuda(cudaGetDeviceProperties(&properties, index), "asking about the GPU");
  return fmt::format("{}, compute capability {}.{}, {}, driver for CUDA {}", properties.name,
                     properties.major, properties.minor, cuda::gibibytes(properties.totalGlobalMem),
                     cuda::driver_version().str());
}

}  // namespace lamina
