#include "apps/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "apps/output.h"
#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/printable.h"
#include "core/base/table.h"
#include "core/base/text_columns.h"

namespace lamina::app {
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

bool Progress::due() {
  const Clock::duration interval = terminal_ ? Clock::duration(redraw_interval) : plain_interval;
  if (mode_ == ProgressMode::none || Clock::now() - last_ < interval) return false;
  last_ = Clock::now();
  return true;
}

std::string Progress::describe(const ProgressState& s) const {
  const std::string line = fmt::format("epoch {}/{}  step {}/{}  {}  {:.0f} images/s", s.epoch, s.epochs,
                                       s.step, s.steps, s.measured, s.images_per_s);
  return heading_ != nullptr ? line : fmt::format("{}  ETA {}", line, format_duration(s.seconds_left));
}

void Progress::update(const ProgressState& state, const LinesBelow& below) {
  if (heading_ != nullptr) heading_->update(state);
  if (remark_) print(std::exchange(remark_, {})());
  if (!due()) return;
  if (!terminal_) return print_plain(describe(state));
  const TerminalSize size = terminal_size();
  // One row for the line above them, and one left over: a full screen would scroll.
  if (below) below_ = below({size.columns - 1, size.rows - std::min<std::size_t>(size.rows, 2)});
  show(describe(state));
}

void Progress::status(const std::string& text) {
  if (!due()) return;
  if (terminal_) return show(text);
  print_plain(text);
}

void Progress::print_plain(const std::string& line) {
  print(heading_ != nullptr ? heading_->text() + "  " + line : line);
}

void Progress::print(const std::string& line) {
  if (mode_ == ProgressMode::none) return;
  clear();
  print_note(stderr, "{}\n", line);
}

// After Ctrl-C its message stands below the lines, which are then left as they are.
void Progress::clear() {
  if (!shown_.empty() && InterruptHandler::signal() == 0) write_note(stderr, to_first_line() + "\033[J");
  shown_.clear();
}

// A terminal that has become narrower has wrapped the lines. (xterm has cut them: a few above are lost then.)
std::string Progress::to_first_line() const {
  const std::size_t width = terminal_size().columns;
  std::size_t rows = 0;
  for (const std::size_t columns : shown_) rows += std::max<std::size_t>(1, (columns + width - 1) / width);
  return rows > 1 ? fmt::format("\r\033[{}A", rows - 1) : "\r";
}

// The heading has a line of its own.
void Progress::show(const std::string& line) {
  if (heading_ == nullptr) return rewrite(line);
  below_ = {first_columns("  " + printable(line), terminal_size().columns - 1)};
  rewrite(heading_->text());
}

// Cut to the width of the terminal: a wrapped line could not be rewritten.
void Progress::rewrite(const std::string& text) {
  if (InterruptHandler::signal() != 0) return;
  const std::string first = first_columns(printable(text), terminal_size().columns - 1);
  std::string screen = to_first_line() + first + "\033[K";
  shown_ = {columns_of(first)};
  for (const std::string& line : below_) {
    screen += "\n" + printable(line) + "\033[K";
    shown_.push_back(columns_of(line));
  }
  write_note(stderr, screen + "\033[J");
}

}  // namespace lamina::app
