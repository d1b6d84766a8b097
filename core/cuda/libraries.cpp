#include "core/cuda/libraries.h"

#include <dlfcn.h>

#include <array>
#include <climits>
#include <string>

#include "core/backend.h"
#include "core/cuda/devices.h"

// Where the build found them, tried before the system's search path: files of several versions may exist.
#ifndef LAMINA_CUBLASLT
#define LAMINA_CUBLASLT "libcublasLt.so"
#endif
#ifndef LAMINA_CUDNN
#define LAMINA_CUDNN "libcudnn.so"
#endif
#define LAMINA_TEXT_OF(macro) LAMINA_TEXT(macro)
#define LAMINA_TEXT(text) #text

namespace lamina::cuda {

SharedLibrary::SharedLibrary(const char* name, std::initializer_list<const char*> files, const char* advice)
    : name_(name) {
  std::string tried;
  for (const char* file : files) {
    library_ = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library_ != nullptr) return;
    const char* reason = dlerror();
    tried += fmt::format("{}{}", tried.empty() ? "" : "; ", reason == nullptr ? file : reason);
  }
  fail("CUDA: {} cannot be loaded: {}. {}", name, tried, advice);
}

SharedLibrary::Function SharedLibrary::function(const char* symbol) const {
  void* address = dlsym(library_, symbol);
  check(address != nullptr, "CUDA: {} has no function {}; install the version this program was built with",
        name_, symbol);
  return {address};
}

std::string SharedLibrary::folder() const {
  std::array<char, PATH_MAX> found{};
  return dlinfo(library_, RTLD_DI_ORIGIN, found.data()) == 0 ? std::string(found.data()) + "/" : "";
}

const Cublas& cublas() {
  static const Cublas opened{
      SharedLibrary("cuBLASLt", {LAMINA_CUBLASLT, "libcublasLt.so." LAMINA_TEXT_OF(CUBLAS_VER_MAJOR)},
                    "Install the CUDA toolkit's cuBLAS, or set LD_LIBRARY_PATH to its folder")};
  return opened;
}

Cudnn open_cudnn(std::initializer_list<const char*> files) {
  constexpr const char* advice = "Install cuDNN 9, or set LD_LIBRARY_PATH to its folder";
  const SharedLibrary library("cuDNN", files, advice);
  // What it calls lies in another library. If that cannot be loaded, cuDNN aborts without saying why.
  const std::string behind = library.folder() + "libcudnn_graph.so.9";
  const SharedLibrary loaded("cuDNN", {behind.c_str(), "libcudnn_graph.so.9"}, advice);
  // That one opens more, and looks into LD_LIBRARY_PATH before its own folder: another version may lie there.
  for (const char* more : {"libcudnn_heuristic.so.9", "libcudnn_engines_precompiled.so.9",
                           "libcudnn_engines_runtime_compiled.so.9", "libcudnn_engines_tensor_ir.so.9"})
    dlopen((library.folder() + more).c_str(), RTLD_NOW | RTLD_LOCAL);  // some packages leave one out
  const decltype(&cudnnGetVersion) version_of = library.function("cudnnGetVersion");
  const std::size_t version = version_of();  // before asking for functions that older ones lack
  check(version >= 90000, "CUDA: cuDNN {}.{} is too old; version 9 or newer is needed. {}", version / 1000,
        version / 100 % 10, advice);
  return Cudnn{library};
}

const Cudnn& cudnn() {
  static const Cudnn opened = open_cudnn({LAMINA_CUDNN, "libcudnn.so.9"});
  return opened;
}

void check_cublas(cublasStatus_t status, const char* doing) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail_device(fmt::format("cuBLASLt: {} failed: {}", doing, cublas().cublasLtGetStatusString(status)));
}

void check_cudnn(cudnnStatus_t status, const char* doing) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> detail{};
  cudnn().cudnnGetLastErrorString(detail.data(), detail.size());
  fail_device(
      fmt::format("cuDNN: {} failed: {} {}", doing, cudnn().cudnnGetErrorString(status), detail.data()));
}

}  // namespace lamina::cuda

namespace lamina {

std::string cuda_obstacle(int index) {
  try {
    cuda::check_device(index);
    cuda::cublas();
    cuda::cudnn();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace lamina
