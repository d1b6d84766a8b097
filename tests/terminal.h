// Runs the program `lamina` on a pseudo-terminal, and works out what a person would see there.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "apps/progress.h"
#include "catch.h"
#include "program.h"

namespace lamina::tests {

// What a terminal of so many columns and rows shows: the escape sequences that the program uses, no others.
class Screen {
 public:
  explicit Screen(app::TerminalSize size)
      : columns_(size.columns), lines_(size.rows, std::string(size.columns, ' ')) {}

  void show(const std::string& bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == '\033') {
        REQUIRE(bytes.at(i + 1) == '[');
        const std::size_t end = bytes.find_first_not_of("0123456789", i + 2);
        REQUIRE(end != std::string::npos);
        command(bytes[end], end == i + 2 ? 1 : std::stoul(bytes.substr(i + 2, end - i - 2)));
        i = end;
      } else if (bytes[i] == '\n') {
        next_line();
      } else if (bytes[i] == '\r') {
        column_ = 0;
      } else {
        if (column_ == columns_) column_ = 0, next_line();
        lines_[row_][column_++] = bytes[i];
      }
    }
  }
  // Fewer columns: what no longer fits into a row goes on in the next, as terminals do it that keep all text.
  void narrow(std::size_t columns) {
    std::vector<std::string> rows;
    std::size_t cursor = 0;
    for (std::size_t i = 0; i <= row_; ++i) {
      cursor = rows.size();
      const std::string text = without_blanks(lines_[i]);
      for (std::size_t at = 0; at == 0 || at < text.size(); at += columns) {
        rows.push_back(text.substr(at, columns));
        rows.back().resize(columns, ' ');
      }
    }
    const std::size_t below = (std::max<std::size_t>(column_, 1) - 1) / columns;
    row_ = cursor + below, column_ -= below * columns, columns_ = columns;
    rows.resize(std::max(rows.size(), lines_.size()), std::string(columns, ' '));
    for (; rows.size() > lines_.size(); rows.erase(rows.begin()), --row_)
      scrolled_ += without_blanks(rows[0]) + "\n";
    lines_ = rows;
  }
  std::string text() const {  // everything that scrolled away included
    std::string all = scrolled_;
    for (const std::string& line : lines_) all += without_blanks(line) + "\n";
    return all;
  }

 private:
  static std::string without_blanks(const std::string& line) {  // at its end
    return line.substr(0, line.find_last_not_of(' ') + 1);
  }
  void command(char letter, std::size_t count) {
    if (letter == 'A') {
      row_ -= std::min(row_, count);
    } else if (letter == 'K' || letter == 'J') {
      lines_[row_].replace(column_, std::string::npos, columns_ - column_, ' ');
      for (std::size_t i = row_ + 1; letter == 'J' && i < lines_.size(); ++i) lines_[i].assign(columns_, ' ');
    } else {
      FAIL("unexpected escape sequence ending in " << letter);
    }
  }
  void next_line() {
    if (++row_ < lines_.size()) return;
    --row_;
    scrolled_ += without_blanks(lines_[0]) + "\n";
    lines_.erase(lines_.begin());
    lines_.emplace_back(columns_, ' ');
  }

  std::size_t columns_, row_ = 0, column_ = 0;
  std::vector<std::string> lines_;
  std::string scrolled_;
};

class PseudoTerminal {
 public:
  explicit PseudoTerminal(app::TerminalSize size) : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(master_ >= 0);
    REQUIRE((grantpt(master_) == 0 && unlockpt(master_) == 0));
    slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY);  // NOLINT(concurrency-mt-unsafe)
    resize(size);
    modes_ = modes();
  }
  ~PseudoTerminal() { ::close(slave_), ::close(master_); }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  pid_t start(Arguments arguments) const {
    arguments.insert(arguments.begin(), LAMINA_PROGRAM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid != 0) return pid;
    setsid();
    ioctl(slave_, TIOCSCTTY, 0);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(slave_, stream);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C", 1);
    execv(argv[0], argv.data());
    _exit(127);
  }

  void resize(app::TerminalSize size) const {
    winsize window{};
    window.ws_col = static_cast<unsigned short>(size.columns);
    window.ws_row = static_cast<unsigned short>(size.rows);
    REQUIRE(ioctl(slave_, TIOCSWINSZ, &window) == 0);
  }

  // While it lives, what this process writes to standard error goes to the terminal.
  class StandardError {
   public:
    explicit StandardError(const PseudoTerminal& terminal) : before_(dup(STDERR_FILENO)) {
      REQUIRE(dup2(terminal.slave_, STDERR_FILENO) == STDERR_FILENO);
      setenv("TERM", "xterm", 1);
    }
    ~StandardError() { dup2(before_, STDERR_FILENO), ::close(before_); }
    StandardError(const StandardError&) = delete;
    StandardError& operator=(const StandardError&) = delete;

   private:
    int before_;
  };

  // What has been written to it since the last call.
  std::string read_waiting() const {
    int waiting = 0;
    ioctl(master_, FIONREAD, &waiting);
    std::string bytes(static_cast<std::size_t>(waiting), '\0');
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(read_some(bytes), 0)));
    return bytes;
  }
  void type(const std::string& keys) const {
    REQUIRE(::write(master_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  }
  bool modes_kept() const { return modes() == modes_; }

 private:
  ssize_t read_some(std::string& bytes) const {
    return bytes.empty() ? 0 : ::read(master_, bytes.data(), bytes.size());
  }
  std::array<tcflag_t, 4> modes() const {
    termios now{};
    tcgetattr(slave_, &now);
    return {now.c_iflag, now.c_oflag, now.c_cflag, now.c_lflag};
  }

  int master_, slave_ = -1;
  std::array<tcflag_t, 4> modes_{};
};

struct TerminalOutcome {
  int status = 0;  // exit status, or 128 + the signal that killed it
  std::string bytes;
  bool modes_kept = false;
};

// Once the program has written `cue`, `keys` are typed. It is killed after two minutes.
inline TerminalOutcome run_on_terminal(const Arguments& arguments, app::TerminalSize size,
                                       const std::string& cue = "", const std::string& keys = "") {
  const PseudoTerminal terminal(size);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  const pid_t pid = terminal.start(arguments);
  TerminalOutcome outcome;
  bool typed = keys.empty(), ended = false;
  for (int status = 0; !ended; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(pid, SIGKILL);
    ended = waitpid(pid, &status, WNOHANG) == pid;
    outcome.bytes += terminal.read_waiting();
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (typed || outcome.bytes.find(cue) == std::string::npos) continue;
    terminal.type(keys);
    typed = true;
  }
  for (std::string rest; !(rest = terminal.read_waiting()).empty();) outcome.bytes += rest;
  outcome.modes_kept = terminal.modes_kept();
  return outcome;
}

}  // namespace lamina::tests
