#include "core/cuda/nccl.h"

#include "core/cuda/libraries.h"

// Where the build found it, tried before the system's search path.
#ifndef LAMINA_NCCL
#define LAMINA_NCCL "libnccl.so"
#endif

namespace lamina::cuda {

const Nccl& nccl() {
  static const Nccl opened = [] {
    constexpr const char* advice = "Install NCCL 2, or set LD_LIBRARY_PATH to its folder";
    const SharedLibrary library("NCCL", {LAMINA_NCCL, "libnccl.so.2"}, advice);
    const Nccl found{.get_version = library.function("ncclGetVersion"),
                     .get_error_string = library.function("ncclGetErrorString"),
                     .get_unique_id = library.function("ncclGetUniqueId"),
                     .comm_init_rank = library.function("ncclCommInitRank"),
                     .comm_destroy = library.function("ncclCommDestroy"),
                     .comm_abort = library.function("ncclCommAbort"),
                     .group_start = library.function("ncclGroupStart"),
                     .group_end = library.function("ncclGroupEnd"),
                     .send = library.function("ncclSend"),
                     .receive = library.function("ncclRecv")};
    int version = 0;
    check(found.get_version(&version) == Nccl::success && version >= Nccl::oldest_captured,
          "CUDA: NCCL {}.{}.{} cannot be captured in a graph; 2.9.6 or newer is needed. {}", version / 10000,
          version / 100 % 100, version % 100, advice);
    return found;
  }();
  return opened;
}

}  // namespace lamina::cuda
