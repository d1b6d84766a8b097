#include "core/instruction_set.h"

#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/list_names.h"
#include "core/base/note.h"
#include "core/cpu_twins.h"

namespace lamina {

namespace {

struct Twin {
  const char* name;
  bool (*runs_here)();
  Backend& (*backend)();
};

#ifdef LAMINA_ONE_INSTRUCTION_SET
const Twin twins[] = {{LAMINA_ONE_INSTRUCTION_SET, [] { return true; }, cpu::only::backend}};
#else
// All that -march=x86-64-v3 may use. For wide registers the compiler's runtime asks the operating system too,
// which must save them; the rest clang 14 cannot ask for by name.
bool runs_v3() {
  __builtin_cpu_init();
  unsigned a = 0, b = 0, features = 0, more = 0, d = 0;
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
         __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0 &&
         __get_cpuid(1, &a, &b, &features, &d) != 0 && (features & bit_F16C) != 0 &&
         (features & bit_MOVBE) != 0 && __get_cpuid(0x80000001, &a, &b, &more, &d) != 0 &&
         (more & bit_LZCNT) != 0;
}
bool runs_v4() {
  return runs_v3() && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}
const Twin twins[] = {{"generic", [] { return true; }, cpu::generic::backend},
                      {"v3", runs_v3, cpu::v3::backend},
                      {"v4", runs_v4, cpu::v4::backend}};
#endif

std::size_t choose() {
  const auto end = std::rend(twins);
  const char* wanted = std::getenv("LAMINA_CPU");
  const auto usable = [&](const Twin& twin) {
    return (wanted == nullptr || *wanted == '\0' || wanted == std::string_view(twin.name)) &&
           twin.runs_here();
  };
  const auto found = std::find_if(std::rbegin(twins), end, usable);
  if (found == end)
    fail_usage(
        "LAMINA_CPU: {} is not an instruction set that this program has and this CPU runs; expected {}",
        wanted, list_names(instruction_sets()));
  if (std::size(twins) > 1 && found == end - 1 && wanted == nullptr)
    note("this CPU has no AVX2: computing without wide registers takes many times as long");
  return static_cast<std::size_t>(std::distance(found, end)) - 1;
}

const Twin& chosen() { return twins[static_cast<std::size_t>(cpu::chosen_instruction_set())]; }

#if defined(__x86_64__) && defined(__AVX2__)

// Says plainly that all of Lamina was built for a newer CPU, before other code can run into an illegal
// instruction: constructors of priority 101 come before all static initialisers.
[[gnu::constructor(101)]] void check_cpu() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) return;
  constexpr std::string_view message =
      "lamina: this CPU lacks AVX2 or FMA, which this build of Lamina uses.\n"
      "Build it again with: cmake -DLAMINA_ARCH=auto …\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
  _exit(1);
}
#endif

}  // namespace

cpu::InstructionSet cpu::chosen_instruction_set() {
  static const std::size_t index = choose();
  return static_cast<InstructionSet>(index);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Twin& twin : twins)
    if (twin.runs_here()) names.emplace_back(twin.name);
  return names;
}

std::string instruction_set() { return chosen().name; }

Backend& cpu_backend() {
  static Backend& backend = chosen().backend();
  return backend;
}

}  // namespace lamina
