#include "core/parallel/rank_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/base/note.h"
#include "core/base/option_name.h"

namespace lamina {
namespace {

// What kills one process may be killing all of them: then nobody need say anything.
constexpr std::chrono::milliseconds before_saying_it{200};
// Of whoever does not say it, for the one who does; of that one, for the launcher.
constexpr std::chrono::seconds before_ending{2};
constexpr unsigned seconds_for_the_launcher = 10;

int descriptor_of(pid_t process) {
#ifdef SYS_pidfd_open
  return static_cast<int>(syscall(SYS_pidfd_open, process, 0));
#else
  return -1;
#endif
}

// A thread has the signal mask of the one that starts it: signals are the others' to handle.
std::thread without_signals(const std::function<void()>& work) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const std::unique_ptr<sigset_t, void (*)(sigset_t*)> restored(
      &before, [](sigset_t* mask) { pthread_sigmask(SIG_SETMASK, mask, nullptr); });
  return std::thread(work);
}

}  // namespace

RankWatch::RankWatch(const std::vector<Process>& others, std::atomic<int>& told,
                     std::function<void()> end_all)
    : told_(told), end_all_(std::move(end_all)), stop_(eventfd(0, EFD_CLOEXEC)) {
  for (const Process& process : others) {
    const int descriptor = descriptor_of(process.id);
    if (descriptor >= 0) watched_.push_back({process, descriptor});
  }
  if (stop_ >= 0 && !watched_.empty()) thread_ = without_signals([this] { watch(); });
}

RankWatch::~RankWatch() {
  const std::uint64_t one = 1;
  if (thread_.joinable() && write(stop_, &one, sizeof(one)) == sizeof(one)) thread_.join();
  for (const Watched& watched : watched_) close(watched.descriptor);
  if (stop_ >= 0) close(stop_);
}

void RankWatch::watch() {
  std::vector<pollfd> events{{.fd = stop_, .events = POLLIN, .revents = 0}};
  for (const Watched& watched : watched_)
    events.push_back({.fd = watched.descriptor, .events = POLLIN, .revents = 0});
  while (poll(events.data(), events.size(), -1) < 0) {
  }
  if (events.front().revents != 0) return;
  for (std::size_t i = 0; i < watched_.size(); ++i)
    if (events[i + 1].revents != 0) end(watched_[i].process);
}

void RankWatch::end(const Process& dead) {
  std::this_thread::sleep_for(before_saying_it);
  if (told_.exchange(1) == 0) {
    write_note(
        stderr,
        message("\nlamina: rank {} (process {}) has died: it was killed, or crashed. The others end, too. A "
                "run goes on from its last checkpoint with {}, a study by the same command\n",
                dead.rank, dead.id, option_name("resume")));
    alarm(seconds_for_the_launcher);
    end_all_();
  } else {
    std::this_thread::sleep_for(before_ending);
  }
  std::_Exit(1);
}

}  // namespace lamina
