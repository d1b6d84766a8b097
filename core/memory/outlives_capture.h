// For what is first made while work is captured, or run to be captured, and stays: a leaf's gradient.
#pragma once

namespace lamina {

// While alive, this thread is given memory of a GPU that no graph uses for anything else when it is replayed.
class OutlivesCapture {
 public:
  OutlivesCapture() { ++depth(); }
  ~OutlivesCapture() { --depth(); }
  OutlivesCapture(const OutlivesCapture&) = delete;
  OutlivesCapture& operator=(const OutlivesCapture&) = delete;

  static bool is_asked_for() { return depth() > 0; }

 private:
  static int& depth() {
    thread_local int count = 0;
    return count;
  }
};

}  // namespace lamina
