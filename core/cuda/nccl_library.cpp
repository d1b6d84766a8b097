#include "core/cuda/nccl_library.h"

#include <type_traits>

#include "core/cuda/libraries.h"

#if __has_include(<nccl.h>)  // where there is the header, that is what ours says
#include <nccl.h>
#endif

// Where the build found it, tried before the system's search path.
#ifndef LAMINA_NCCL
#define LAMINA_NCCL "libnccl.so"
#endif

namespace lamina::cuda {

#ifdef NCCL_VERSION_CODE
namespace {

// As they are passed: enumerations as int, pointers whatever they point to.
template <typename A, typename B>
constexpr bool is_passed_as() {
  return sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>;
}
template <typename R, typename S, typename... A, typename... B>
constexpr bool is_called_as(R (*)(A...), S (*)(B...)) {
  return is_passed_as<R, S>() && (is_passed_as<A, B>() && ...);
}

static_assert(sizeof(Nccl::UniqueId) == sizeof(ncclUniqueId));
static_assert(Nccl::success == ncclSuccess && Nccl::float32 == ncclFloat32);
static_assert(Nccl::oldest_captured == NCCL_VERSION(2, 9, 6));
static_assert(is_called_as(decltype(Nccl::get_version)(), &ncclGetVersion));
static_assert(is_called_as(decltype(Nccl::get_error_string)(), &ncclGetErrorString));
static_assert(is_called_as(decltype(Nccl::get_unique_id)(), &ncclGetUniqueId));
static_assert(is_called_as(decltype(Nccl::comm_init_rank)(), &ncclCommInitRank));
static_assert(is_called_as(decltype(Nccl::comm_destroy)(), &ncclCommDestroy));
static_assert(is_called_as(decltype(Nccl::group_start)(), &ncclGroupStart));
static_assert(is_called_as(decltype(Nccl::group_end)(), &ncclGroupEnd));
static_assert(is_called_as(decltype(Nccl::send)(), &ncclSend));
static_assert(is_called_as(decltype(Nccl::receive)(), &ncclRecv));

}  // namespace
#endif

const Nccl& nccl() {
  static const Nccl opened = [] {
    constexpr const char* advice = "Install NCCL 2, or set LD_LIBRARY_PATH to its folder";
    const SharedLibrary library("NCCL", {LAMINA_NCCL, "libnccl.so.2"}, advice);
    const Nccl found{.get_version = library.function("ncclGetVersion"),
                     .get_error_string = library.function("ncclGetErrorString"),
                     .get_unique_id = library.function("ncclGetUniqueId"),
                     .comm_init_rank = library.function("ncclCommInitRank"),
                     .comm_destroy = library.function("ncclCommDestroy"),
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
