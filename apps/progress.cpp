#include "apps/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "apps/table.h"
#include "core/error.h"

namespace lamina {
namespace {

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string describe(const ProgressState& s) {
  return fmt::format("epoch {}/{}  step {}/{}  loss {:.4f}  acc {:.2f} %  {:.0f} images/s  ETA {}", s.epoch,
                     s.epochs, s.step, s.steps, s.loss, 100 * s.accuracy, s.images_per_s,
                     format_duration(s.seconds_left));
}

}  // namespace

ProgressMode parse_progress(std::string_view name) {
  if (name == "auto") return ProgressMode::automatic;
  if (name == "plain") return ProgressMode::plain;
  if (name == "none") return ProgressMode::none;
  fail_usage("--progress {}: expected auto, plain or none", name);
}

Progress::Progress(ProgressMode mode)
    : mode_(mode), terminal_(mode == ProgressMode::automatic && is_terminal()), last_(Clock::now()) {}

Progress::~Progress() { clear(); }

void Progress::update(const ProgressState& state) {
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (mode_ == ProgressMode::none || Clock::now() - last_ < interval) return;
  last_ = Clock::now();
  if (terminal_) {
    rewrite(describe(state));
  } else {
    print(describe(state));
  }
}

void Progress::status(const std::string& text) {
  if (terminal_) rewrite(text);
}

void Progress::print(const std::string& line) {
  if (mode_ == ProgressMode::none) return;
  clear();
  fmt::print(stderr, "{}\n", line);
}

void Progress::clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

// Cut to the width of the terminal: a wrapped line could not be rewritten. ASCII only, so bytes are columns.
void Progress::rewrite(std::string text) {
  text.resize(std::min(text.size(), terminal_columns() - 1));
  fmt::print(stderr, "\r{}\033[K", text);
  std::fflush(stderr);
  shown_ = true;
}

}  // namespace lamina
