// What a run shows while it goes on, on standard error: one line that rewrites itself on a terminal, plain
// lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace lamina {

enum class ProgressMode { automatic, plain, none };
ProgressMode parse_progress(std::string_view name);  // "auto", "plain", "none"; throws UsageError

struct ProgressState {
  std::int64_t epoch = 0, epochs = 0;  // counted from 1
  std::int64_t step = 0, steps = 0;    // of the whole run
  double loss = 0, accuracy = 0;       // means over the epoch so far; accuracy in 0 … 1
  double images_per_s = 0;
  double seconds_left = 0;
};

class Progress {
 public:
  explicit Progress(ProgressMode mode);
  ~Progress();  // leaves the cursor at the start of an empty line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(const ProgressState& state);  // shown at most ten times a second; plain: every ten seconds
  void status(const std::string& text);     // a passing remark ("evaluating"), on terminals only
  void print(const std::string& line);      // a line that stays
  void clear();                             // before others write to the terminal

 private:
  using Clock = std::chrono::steady_clock;
  void rewrite(std::string text);

  ProgressMode mode_;
  bool terminal_;
  bool shown_ = false;  // the cursor stands behind a line that may be rewritten
  Clock::time_point last_;
};

}  // namespace lamina
