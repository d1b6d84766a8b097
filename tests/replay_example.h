// The example of docs/replay.md as a command.
#pragma once

#include "program.h"

namespace lamina::tests {

inline const std::string source_dir = LAMINA_SOURCE_DIR;

// The example of docs/replay.md: w = (3, 4), every gradient (0.6, 0.8); a bias at 0, every gradient 1.
inline Arguments example(const fs::path& out) {
  return {"replay",
          "--optimizer",
          "lars:barlowtwins",
          "--weight-decay",
          "0",
          "--params",
          source_dir + "/docs/replay/params.safetensors",
          "--grads",
          source_dir + "/docs/replay/grads.safetensors",
          "--lrs",
          "1,0.5,0.25",
          "--out",
          out.string()};
}

}  // namespace lamina::tests
