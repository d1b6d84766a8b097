// What `lamina train --watch` draws under the progress line: a row for every layer with bars, on logarithmic
// scales, of its trust ratio and its norms in the last step.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "apps/progress.h"
#include "optim/optimizer.h"

namespace lamina::app {

struct WatchedLayer {
  std::string name;       // "layer1.0.conv1"
  std::size_t index = 0;  // among StepReport::layers
  bool adapts = false;    // else its trust ratio is shown as "-"
};

// The powers of ten at a bar's ends.
struct Decades {
  int low = 0, high = 0;  // equal: nothing to show yet
  bool operator==(const Decades&) const = default;
};

// Of trust ratio, weight norm, gradient norm and update norm, in this order.
using WatchScales = std::array<Decades, 4>;

// The convolutions and linear layers; their biases and the normalisation between them have no row.
std::vector<WatchedLayer> watched_layers(std::span<const Segment> segments,
                                         std::span<const LayerSettings> settings);

// Scales that also cover this step. They never narrow: bars of different steps can be compared.
WatchScales widened(WatchScales scales, std::span<const WatchedLayer> layers, const StepReport& report);

struct WatchFrame {
  TerminalSize size = {};
  bool unicode = true;  // bars in eighths of a column; else of '#'
};

// At most size.rows lines of at most size.columns columns: the step, the headings, the layers. Where the rows
// do not suffice, evenly chosen layers; where the columns do not, fewer quantities, then no bars. What is not
// positive and finite has no bar; what was not measured is "-".
std::vector<std::string> draw_layers(std::span<const WatchedLayer> layers, const StepReport& report,
                                     const WatchScales& scales, const WatchFrame& frame);

class Watch {
 public:
  explicit Watch(const Optimizer& optimizer);  // which must be tracing
  std::vector<std::string> draw(const StepReport& report, TerminalSize size);

 private:
  std::vector<WatchedLayer> layers_;
  WatchScales scales_{};
  bool unicode_;  // the locale's encoding is UTF-8
};

}  // namespace lamina::app
