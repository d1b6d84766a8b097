// Ctrl-C and SIGTERM ask a run to stop at its next safe place; a second one ends it at once.
#pragma once

namespace lamina {

// One within another changes nothing.
class InterruptHandler {
 public:
  InterruptHandler();   // from here on the two signals only set a flag, each once
  ~InterruptHandler();  // the previous handling is back
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

  static int signal();  // the signal that arrived, or 0
};

}  // namespace lamina
