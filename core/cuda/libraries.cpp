#include "core/cuda/libraries.h"

#include <dlfcn.h>

#include <array>
#include <climits>

#include "core/backend.h"
#include "core/cuda/devices.h"
#include "core/cuda/library_files.h"

// Where the build found them.
#ifndef LAMINA_CUBLASLT
#define LAMINA_CUBLASLT "libcublasLt.so"
#endif
#ifndef LAMINA_CUDNN
#define LAMINA_CUDNN "libcudnn.so"
#endif
#define LAMINA_TEXT_OF(macro) LAMINA_TEXT(macro)
#define LAMINA_TEXT(text) #text

namespace lamina::cuda {

SharedLibrary::SharedLibrary(const char* name, const std::vector<std::string>& files, const char* advice)
    : name_(name) {
  std::string tried;
  for (const std::string& file : files) {
    library_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    file_ = file;
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

// The name found by the system's search says nothing of where it was.
std::string SharedLibrary::file() const {
  return file_.find('/') == std::string::npos ? folder() + file_ : file_;
}

const Cublas& cublas() {
  static const Cublas opened{
      SharedLibrary("cuBLASLt",
                    library_files({.file = "libcublasLt.so." LAMINA_TEXT_OF(CUBLAS_VER_MAJOR),
                                   .built = LAMINA_CUBLASLT,
                                   .variable = "LAMINA_CUBLASLT_PATH"}),
                    "Install the CUDA toolkit's cuBLAS, or set LAMINA_CUBLASLT_PATH to its folder")};
  return opened;
}

Cudnn open_cudnn(const std::vector<std::string>& files) {
  constexpr const char* advice = "Install cuDNN 9, or set LAMINA_CUDNN_PATH to its folder";
  const SharedLibrary library("cuDNN", files, advice);
  // What it calls lies in another library. If that cannot be loaded, cuDNN aborts without saying why.
  const std::string behind = library.folder() + "libcudnn_graph.so.9";
  const SharedLibrary loaded("cuDNN", {behind, "libcudnn_graph.so.9"}, advice);
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
  static const Cudnn opened = open_cudnn(
      library_files({.file = "libcudnn.so.9", .built = LAMINA_CUDNN, .variable = "LAMINA_CUDNN_PATH"}));
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

namespace {

std::string dotted(std::size_t version) {  // as cuDNN and cuBLAS count: 91900, 130001
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

template <typename Describe>
std::string or_obstacle(const Describe& describe) {
  try {
    return describe();
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace
}  // namespace lamina::cuda

namespace lamina {

std::vector<std::string> cuda_libraries() {
  const auto describe = [](const char* name, std::size_t version, const cuda::SharedLibrary& library) {
    return fmt::format("{} {}, {}", name, cuda::dotted(version), library.file());
  };
  return {cuda::or_obstacle(
              [&] { return describe("cuDNN", cuda::cudnn().cudnnGetVersion(), cuda::cudnn().library); }),
          cuda::or_obstacle([&] {
            return describe("cuBLASLt", cuda::cublas().cublasLtGetVersion(), cuda::cublas().library);
          })};
}

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
