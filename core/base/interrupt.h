// Signals that ask a run to stop at its next safe place: Ctrl-C and SIGTERM; SIGHUP, of a terminal that is
// gone; SIGUSR1, SIGUSR2 and SIGXCPU, which batch systems send when time runs out.
#pragma once

namespace lamina {

// One within another changes nothing. What was ignored before stays so (nohup), but for SIGINT: shells ignore
// that for whatever they start in the background, where it is sent on purpose.
class InterruptHandler {
 public:
  // From here on the signals set a flag, and the first one says so on standard error, if that takes it. A
  // second SIGINT, or a second SIGTERM, ends the process at once; the others may come as often as they like.
  InterruptHandler();
  ~InterruptHandler();  // the previous handling is back
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

  static int signal();  // the signal that arrived, the first of several, or 0
};

}  // namespace lamina
