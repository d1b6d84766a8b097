// cuBLASLt and cuDNN, opened when first used: loading cuBLASLt takes a tenth of a second, and a program with
// CUDA inside must run on machines that have neither.
#pragma once

#include <cublasLt.h>
#include <cudnn.h>

#include <string>
#include <vector>

#include "core/cuda/check.h"

namespace lamina::cuda {

class SharedLibrary {  // stays open until the program ends
 public:
  // The first of these files that can be opened. Throws Error naming them all and `advice`.
  SharedLibrary(const char* name, const std::vector<std::string>& files, const char* advice);

  struct Function {
    void* address;
    template <typename F>
    operator F*() const {
      return reinterpret_cast<F*>(address);
    }
  };
  Function function(const char* symbol) const;  // throws Error if the library lacks it
  std::string folder() const;                   // where it was found, with a slash at the end
  std::string file() const;                     // the path that was opened

 private:
  const char* name_;
  std::string file_;
  void* library_ = nullptr;
};

// NVIDIA's functions of these names.
struct Cublas {
  SharedLibrary library;
#define LAMINA_FUNCTION(name) decltype(&::name) name = library.function(#name)
  LAMINA_FUNCTION(cublasLtGetVersion);
  LAMINA_FUNCTION(cublasLtCreate);
  LAMINA_FUNCTION(cublasLtDestroy);
  LAMINA_FUNCTION(cublasLtGetStatusString);
  LAMINA_FUNCTION(cublasLtMatmulDescCreate);
  LAMINA_FUNCTION(cublasLtMatmulDescDestroy);
  LAMINA_FUNCTION(cublasLtMatmulDescSetAttribute);
  LAMINA_FUNCTION(cublasLtMatrixLayoutCreate);
  LAMINA_FUNCTION(cublasLtMatrixLayoutDestroy);
  LAMINA_FUNCTION(cublasLtMatmulPreferenceCreate);
  LAMINA_FUNCTION(cublasLtMatmulPreferenceDestroy);
  LAMINA_FUNCTION(cublasLtMatmulPreferenceSetAttribute);
  LAMINA_FUNCTION(cublasLtMatmulAlgoGetHeuristic);
  LAMINA_FUNCTION(cublasLtMatmul);
};

struct Cudnn {
  SharedLibrary library;
  LAMINA_FUNCTION(cudnnGetVersion);
  LAMINA_FUNCTION(cudnnGetErrorString);
  LAMINA_FUNCTION(cudnnGetLastErrorString);
  LAMINA_FUNCTION(cudnnCreate);
  LAMINA_FUNCTION(cudnnDestroy);
  LAMINA_FUNCTION(cudnnSetStream);
  LAMINA_FUNCTION(cudnnBackendCreateDescriptor);
  LAMINA_FUNCTION(cudnnBackendDestroyDescriptor);
  LAMINA_FUNCTION(cudnnBackendSetAttribute);
  LAMINA_FUNCTION(cudnnBackendGetAttribute);
  LAMINA_FUNCTION(cudnnBackendFinalize);
  LAMINA_FUNCTION(cudnnBackendExecute);
#undef LAMINA_FUNCTION
};

// Throw Error if the library cannot be opened, or cuDNN is older than 9.
const Cublas& cublas();
const Cudnn& cudnn();
Cudnn open_cudnn(const std::vector<std::string>& files);  // the first of them that there is

// As check_cuda.
void check_cublas(cublasStatus_t status, const char* doing);
void check_cudnn(cudnnStatus_t status, const char* doing);

}  // namespace lamina::cuda
