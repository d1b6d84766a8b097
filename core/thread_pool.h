// The threads of the CPU's kernels. They wait for work awake for a moment, then asleep: spinning on, as
// OpenMP's do, they would take the time of other programs, and of each other when the machine is shared.
#pragma once

#include <functional>

namespace lamina {

// Calls work() here and, at the same time, on up to `threads` - 1 other threads; returns when all calls have
// ended. A thread that has not woken up by the time the call here ends is not waited for. Within work(), and
// while another thread's call is running, work() is called once, here. It must not throw.
void run_on_threads(int threads, const std::function<void()>& work);

}  // namespace lamina
