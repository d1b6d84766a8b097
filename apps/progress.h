// What a run shows while it goes on, on standard error: one line that rewrites itself on a terminal, with
// further lines below it if wanted, plain lines elsewhere. No mode of the terminal is changed, so that
// however the program ends there is nothing to restore.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lamina::app {

// watch: as automatic, with lines below on a terminal.
enum class ProgressMode { automatic, plain, none, watch };
ProgressMode parse_progress(std::string_view name);  // "auto", "plain", "none"; throws UsageError

struct ProgressState {
  std::int64_t epoch = 0, epochs = 0;  // counted from 1
  std::int64_t step = 0, steps = 0;    // of the whole run
  std::int64_t first_step = 0;         // steps that had been taken when this process took the run up
  std::string measured = {};           // "loss 0.5123  acc 81.02 %": means over the epoch so far
  double images_per_s = 0;
  double seconds_left = 0;
};

// What stands before the line of a run that is one of many: how far they all are.
class ProgressHeading {
 public:
  ProgressHeading() = default;
  ProgressHeading(const ProgressHeading&) = delete;
  ProgressHeading& operator=(const ProgressHeading&) = delete;
  virtual ~ProgressHeading() = default;

  virtual void update(const ProgressState& state) = 0;  // after every step, whether it is shown or not
  virtual std::string text() const = 0;
};

struct TerminalSize {
  std::size_t columns = 80, rows = 24;
};

class Progress {
 public:
  // At most `rows` lines of at most `columns` columns.
  using LinesBelow = std::function<std::vector<std::string>(TerminalSize)>;

  explicit Progress(ProgressMode mode);
  ~Progress();  // leaves the cursor at the start of an empty line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // From here on lines have this heading and those about epochs are left out; the time left is the heading's
  // to show. It must outlive the updates.
  void set_heading(ProgressHeading& heading) { heading_ = &heading; }

  // A line that stays, asked for at the first update.
  void set_remark(std::function<std::string()> remark) { remark_ = std::move(remark); }

  bool watching() const { return mode_ == ProgressMode::watch && terminal_; }

  // Shown at most ten times a second; plain: every ten seconds. `below` is asked only when it is shown.
  void update(const ProgressState& state, const LinesBelow& below = {});
  // A passing remark ("evaluating") in place of the line; plain: a line, where none has come for ten seconds.
  void status(const std::string& text);
  void print(const std::string& line);         // a line that stays
  void print_epoch(const std::string& line) {  // as print(), unless the run is one of many
    if (heading_ == nullptr) print(line);
  }
  void clear();  // before others write to the terminal

 private:
  using Clock = std::chrono::steady_clock;
  bool due();  // whether something may be shown again
  std::string describe(const ProgressState& state) const;
  void show(const std::string& line);
  void print_plain(const std::string& line);
  void rewrite(const std::string& text);
  std::string to_first_line() const;

  ProgressMode mode_;
  bool terminal_;
  ProgressHeading* heading_ = nullptr;
  std::function<std::string()> remark_;
  std::vector<std::string> below_;
  std::vector<std::size_t> shown_;  // columns of the lines that may be rewritten; the cursor is behind them
  Clock::time_point last_;
};

}  // namespace lamina::app
