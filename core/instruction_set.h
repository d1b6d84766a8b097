// The CPU's instruction sets that this build has kernels for. core/cpu and the steps of the library's
// optimizers are compiled once for each of them (cmake/instruction_sets.cmake), all else for the oldest, so
// that one program runs everywhere.
#pragma once

#include <string>
#include <vector>

namespace lamina {

// Those that this CPU and its operating system run, the widest last: of "generic" (any x86-64), "v3"
// (x86-64-v3: AVX2 and FMA) and "v4" (x86-64-v4: AVX-512), or the one that LAMINA_ARCH built for.
std::vector<std::string> instruction_sets();

// Whose kernels run: the one that the environment variable LAMINA_CPU names, else the widest. Asked once,
// when the first tensor is made. Each set gives the same bits for any number of threads, but not those of
// another. Throws Error: LAMINA_CPU names none of instruction_sets().
std::string instruction_set();

}  // namespace lamina
