#include "apps/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "apps/interrupt.h"
#include "apps/table.h"
#include "core/error.h"

namespace lamina {
namespace {

constexpr std::chrono::milliseconds redraw_interval{100};
constexpr std::chrono::seconds plain_interval{10};

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

TerminalSize terminal_size() {
  winsize size{};
  TerminalSize known;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return known;
  if (size.ws_col > 0) known.columns = size.ws_col;
  if (size.ws_row > 0) known.rows = size.ws_row;
  return known;
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
    : mode_(mode),
      terminal_((mode == ProgressMode::automatic || mode == ProgressMode::watch) && is_terminal()),
      last_(Clock::now()) {}

Progress::~Progress() { clear(); }

bool Progress::due(Clock::duration interval) {
  if (Clock::now() - last_ < interval) return false;
  last_ = Clock::now();
  return true;
}

void Progress::update(const ProgressState& state, const LinesBelow& below) {
  if (mode_ == ProgressMode::none || !due(terminal_ ? redraw_interval : plain_interval)) return;
  if (!terminal_) return print(describe(state));
  const TerminalSize size = terminal_size();
  // One row for the line above them, and one left over: a full screen would scroll.
  if (below) below_ = below({size.columns - 1, size.rows - std::min<std::size_t>(size.rows, 2)});
  rewrite(describe(state));
}

void Progress::status(const std::string& text) {
  if (terminal_ && due(redraw_interval)) rewrite(text);
}

void Progress::print(const std::string& line) {
  if (mode_ == ProgressMode::none) return;
  clear();
  fmt::print(stderr, "{}\n", line);
}

// After Ctrl-C its message stands below the lines, which are then left as they are.
void Progress::clear() {
  if (shown_ > 0 && InterruptHandler::signal() == 0) fmt::print(stderr, "{}\033[J", to_first_line());
  std::fflush(stderr);
  shown_ = 0;
}

std::string Progress::to_first_line() const {
  return shown_ > 1 ? fmt::format("\r\033[{}A", shown_ - 1) : "\r";
}

// Cut to the width of the terminal: a wrapped line could not be rewritten. ASCII only, so bytes are columns.
void Progress::rewrite(std::string text) {
  if (InterruptHandler::signal() != 0) return;
  text.resize(std::min(text.size(), terminal_size().columns - 1));
  std::string screen = to_first_line() + text + "\033[K";
  for (const std::string& line : below_) screen += "\n" + line + "\033[K";
  fmt::print(stderr, "{}\033[J", screen);
  std::fflush(stderr);
  shown_ = 1 + below_.size();
}

}  // namespace lamina
