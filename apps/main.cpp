// The program `lamina`: runs a subcommand and turns errors into exit statuses: 0 done, 1 failed while
// running, 2 wrong usage, 128 + n stopped by signal n with everything saved.
#include <cstdio>
#include <exception>
#include <new>

#include "apps/command.h"
#include "apps/options.h"
#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace {

// Nothing can be done about a standard error that cannot be written either.
int fail_with(int status, const char* message) {
  std::fprintf(stderr, "lamina: %s\n", message);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  lamina::set_option_names(lamina::app::name_in_messages);
  try {
    const int status = lamina::app::run_command(argc, argv);
    lamina::check(std::fflush(stdout) == 0, "standard output: not everything could be written");
    return status;
  } catch (const lamina::UsageError& error) {
    return fail_with(2, error.what());
  } catch (const std::bad_alloc&) {
    return fail_with(1, ("out of memory: more was asked for than there is; " +
                         lamina::describe_available_memory() + "; try a smaller --micro-batch")
                            .c_str());
  } catch (const std::exception& error) {
    return fail_with(1, error.what());
  }
}
