// NCCL without a GPU: the library is found and has what is called.
#include "core/cuda/nccl_library.h"

#include "catch.h"
#include "core/base/error.h"

namespace lamina {

TEST_CASE("NCCL is opened when it is asked for, and is new enough") {
  try {
    int version = 0;
    REQUIRE(cuda::nccl().get_version(&version) == cuda::Nccl::success);
    CHECK(version >= cuda::Nccl::oldest_captured);
    CHECK(std::string(cuda::nccl().get_error_string(cuda::Nccl::success)) == "no error");
  } catch (const Error& error) {  // it is for several GPUs, and need not be there
    CHECK_THAT(error.what(), Catch::Contains("NCCL cannot be loaded") && Catch::Contains("LD_LIBRARY_PATH"));
    WARN("NCCL of CUDA: 1 cases skipped: no device library is installed");
  }
}

}  // namespace lamina
