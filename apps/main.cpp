// The program `lamina`: runs a subcommand and turns errors into exit statuses: 0 done, 1 failed while
// running, 2 wrong usage, 128 + n stopped by signal n with everything saved.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/resource_limits.h"
#include "core/parallel/collective.h"

namespace {

using namespace lamina;

// A file opened under the number of a closed stream would be written what is meant for that. For reading
// alone, so that results, which are lost, count as such.
void open_standard_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    const bool closed = fcntl(stream, F_GETFD) < 0;
    if (closed && open("/dev/null", O_RDONLY) < 0) return;  // open() takes the lowest number that is free
  }
}

// What is written to a pipe without a reader, or beyond the limit of files' sizes, fails and says so; by
// default the signal would end the program before it has saved anything.
void report_failed_writes() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

// With several ranks, all of them end: the others would wait for this one for ever. What is wrong is most
// often wrong for all, and then rank 0 says it.
int fail_with(int status, std::string_view message) {
  Collective* ranks = connected_ranks();
  const bool several = ranks != nullptr && ranks->size() > 1;
  if (several && ranks->rank() > 0) sleep(1);
  app::print_note(stderr, "lamina: {}{}\n", several ? fmt::format("rank {}: ", ranks->rank()) : "", message);
  if (several) ranks->abort(status);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  report_failed_writes();
  set_option_names(app::name_in_messages);
  try {
    const int status = app::run_command(argc, argv);
    app::check_output();
    return status;
  } catch (const UsageError& error) {
    return fail_with(2, error.what());
  } catch (const std::bad_alloc&) {
    return fail_with(1, out_of_memory_advice());
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    return fail_with(1, no_thread ? thread_advice() : error.what());
  } catch (const std::exception& error) {
    return fail_with(1, error.what());
  }
}
