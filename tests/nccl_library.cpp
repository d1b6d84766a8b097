// NCCL without a GPU: the library is found and has what is called, and where its header is installed, that is
// what core/cuda/nccl.h says.
#include "core/cuda/nccl.h"

#include <type_traits>

#include "catch.h"
#include "core/base/error.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

namespace lamina::cuda {
namespace {

// As they are passed: enumerations as int, pointers whatever they point to.
template <typename A, typename B>
constexpr bool passed_alike =
    sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>&& std::is_class_v<A> ==
                                  std::is_class_v<B>;

template <typename Ours, typename Theirs>
constexpr bool called_alike = false;
template <typename R, typename S, typename... A, typename... B>
requires(sizeof...(A) ==
         sizeof...(B)) constexpr bool called_alike<R (*)(A...), S (*)(B...)> = passed_alike<R, S> &&
                                                                               (passed_alike<A, B> && ...);

static_assert(sizeof(Nccl::UniqueId) == sizeof(ncclUniqueId));
static_assert(Nccl::success == ncclSuccess && Nccl::float32 == ncclFloat32);
static_assert(Nccl::oldest_captured == NCCL_VERSION(2, 9, 6));
static_assert(called_alike<decltype(Nccl::get_version), decltype(&ncclGetVersion)>);
static_assert(called_alike<decltype(Nccl::get_error_string), decltype(&ncclGetErrorString)>);
static_assert(called_alike<decltype(Nccl::get_unique_id), decltype(&ncclGetUniqueId)>);
static_assert(called_alike<decltype(Nccl::comm_init_rank), decltype(&ncclCommInitRank)>);
static_assert(called_alike<decltype(Nccl::comm_destroy), decltype(&ncclCommDestroy)>);
static_assert(called_alike<decltype(Nccl::comm_abort), decltype(&ncclCommAbort)>);
static_assert(called_alike<decltype(Nccl::group_start), decltype(&ncclGroupStart)>);
static_assert(called_alike<decltype(Nccl::group_end), decltype(&ncclGroupEnd)>);
static_assert(called_alike<decltype(Nccl::send), decltype(&ncclSend)>);
static_assert(called_alike<decltype(Nccl::receive), decltype(&ncclRecv)>);

}  // namespace
}  // namespace lamina::cuda
#endif

namespace lamina {

TEST_CASE("NCCL is opened when it is asked for, and is new enough") {
  try {
    int version = 0;
    REQUIRE(cuda::nccl().get_version(&version) == cuda::Nccl::success);
    CHECK(version >= cuda::Nccl::oldest_captured);
    CHECK(std::string(cuda::nccl().get_error_string(cuda::Nccl::success)) == "no error");
  } catch (const Error& error) {  // it is for several GPUs, and need not be there
    CHECK_THAT(error.what(), Catch::Contains("NCCL cannot be loaded") && Catch::Contains("LD_LIBRARY_PATH"));
    WARN("NCCL: case skipped: not installed");
  }
}

}  // namespace lamina
