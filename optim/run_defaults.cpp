#include "optim/run_defaults.h"

#include <algorithm>
#include <array>

#include "optim/presets.h"

namespace lamina {
namespace {

struct Defaults {
  std::string_view optimizer, settings;
};

// TVLARS has no schedule but phi, which these settings bring down within the run, however long that is.
constexpr std::array rows{
    Defaults{"sgd", "lr=0.1*B/B_base weight_decay=5e-4"},
    Defaults{"adamw", "lr=0.005*sqrt(B/B_base)"},
    Defaults{"lars", "lr=1*B/B_base trust_coefficient=0.01"},
    Defaults{"lamb", "lr=0.02*sqrt(B/B_base)"},
    Defaults{"tvlars", "lr=0.5*B/B_base trust_coefficient=0.01 lambda=5/T delay_epochs=0.4*E"},
};

}  // namespace

std::string_view run_defaults(std::string_view optimizer) {
  const std::string_view name = find_preset(optimizer).optimizer;
  return std::find_if(rows.begin(), rows.end(), [&](const Defaults& row) { return row.optimizer == name; })
      ->settings;
}

}  // namespace lamina
