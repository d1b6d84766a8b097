// Small studies as files.
#pragma once

#include <fstream>
#include <string>

#include "program.h"

namespace lamina::tests {

// A study small enough for tests.
inline const std::string tiny_base =
    "[base]\ndata = \"synthetic:8x8x3x4\"\nmodel = \"resnet8\"\nlimit_train = 96\nlimit_test = 32\n"
    "batch = 32\nepochs = 2\nthreads = 1\nworkers = 0\ncheckpoint_steps = 1\n";
inline const std::string tiny_contenders =
    "[[contender]]\nlabel = \"TVLARS\"\noptimizer = \"tvlars\"\n[contender.grid]\nlr = [0.5, 1]\n"
    "[[contender]]\nlabel = \"SGD + warm-up\"\noptimizer = \"sgd\"\nwarmup_epochs = 1\n";
inline const std::string tiny_study = tiny_base + "[grid]\nseed = [1, 2]\n" + tiny_contenders;

inline fs::path write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
  return path;
}

}  // namespace lamina::tests
