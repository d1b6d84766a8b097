#include "layers/projector.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "layers/activation.h"
#include "layers/batch_norm.h"
#include "layers/linear.h"

namespace lamina {

Projector::Projector(int in, const ProjectorOptions& options) {
  const std::vector<int>& widths = options.widths;
  if (widths.empty() || std::any_of(widths.begin(), widths.end(), [](int width) { return width < 1; })) {
    fail_usage("{} {}: expected the width of at least one layer, each 1 or more", option_name("projector"),
               widths.empty() ? "without widths" : fmt::format("{}", fmt::join(widths, ",")));
  }
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const bool last = i + 1 == widths.size();
    add<Linear>(
        i == 0 ? in : widths[i - 1], widths[i],
        LinearLayerOptions{.bias = last ? options.last_bias : options.hidden_bias, .tensor = options.tensor});
    if (last ? options.last_batch_norm : options.hidden_batch_norm)
      add<BatchNorm1d>(widths[i], BatchNorm1dLayerOptions{.tensor = options.tensor});
    if (!last) add<ReLU>();
  }
}

Tensor Projector::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& child : children()) y = (*child)(y);
  return y;
}

}  // namespace lamina
