// The program `lamina`: runs a subcommand and turns errors into exit statuses: 0 done, 1 failed while
// running, 2 wrong usage, 128 + n stopped by signal n with everything saved.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "apps/command.h"
#include "apps/options.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace {

#if defined(__x86_64__) && defined(__AVX2__)

// Says plainly that the program was built for a newer CPU, before other code can run into an illegal
// instruction: constructors of priority 101 come before all static initialisers.
[[gnu::constructor(101)]] void check_cpu() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) return;
  constexpr std::string_view message =
      "lamina: this CPU lacks AVX2 or FMA, which this build uses.\n"
      "Build it again with: cmake -DLAMINA_ARCH=native …\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message.data(), message.size());
  _exit(1);
}
#endif

// OpenMP's threads wait for work by spinning. Beside other programs that made training up to 30 times slower;
// sleeping costs next to nothing. The runtime reads the policy before main() starts, hence once more.
void wait_by_sleeping(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::execv("/proc/self/exe", argv);  // where that fails, the policy stays as it was
}

// Nothing can be done about a standard error that cannot be written either.
int fail_with(int status, const char* message) {
  std::fprintf(stderr, "lamina: %s\n", message);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  wait_by_sleeping(argv);
  lamina::set_option_names(lamina::app::name_in_messages);
  try {
    const int status = lamina::app::run_command(argc, argv);
    lamina::check(std::fflush(stdout) == 0, "standard output: not everything could be written");
    return status;
  } catch (const lamina::UsageError& error) {
    return fail_with(2, error.what());
  } catch (const std::bad_alloc&) {
    return fail_with(1, "out of memory; try a smaller --micro-batch");
  } catch (const std::exception& error) {
    return fail_with(1, error.what());
  }
}
