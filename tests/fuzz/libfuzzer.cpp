// The entry that libFuzzer calls, in a program of one target.
#include "target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lamina::fuzz::targets().begin()->second({data, size});
  return 0;
}
