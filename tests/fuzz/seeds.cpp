// Runs every target over its seeds, the empty input, and each seed cut short and with a byte changed: so that
// targets do not rot where there is no libFuzzer. The address of the last input is printed before it is
// tried.
//
//   fuzz_seeds FOLDER    of seeds, one folder for each target
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "target.h"

namespace lamina::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<std::uint8_t> read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Cut short at ten places, and with a byte changed at as many.
int try_neighbours(Target target, const std::vector<std::uint8_t>& seed) {
  int tried = 0;
  const std::size_t stride = std::max<std::size_t>(1, seed.size() / 10);
  for (std::size_t at = 0; at < seed.size(); at += stride, tried += 2) {
    target(Input(seed).first(at));
    std::vector<std::uint8_t> changed = seed;
    changed[at] ^= 0x5a;
    target(changed);
  }
  return tried;
}

std::vector<std::vector<std::uint8_t>> seeds_in(const fs::path& folder) {
  std::vector<std::vector<std::uint8_t>> seeds{{}};
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) seeds.push_back(read(entry.path()));
  return seeds;
}

int run_seeds(const fs::path& folder) {
  int tried = 0, failed = 0;
  for (const auto& [name, target] : targets()) {
    std::printf("%s\n", name.c_str());
    std::fflush(stdout);  // before a crash
    const auto seeds = seeds_in(folder / name);
    const long before = accepted;
    for (const auto& seed : seeds) target(seed);
    if (accepted == before)
      std::printf("failed: %s refuses all of its seeds, or has none\n", name.c_str()), ++failed;
    for (const auto& seed : seeds) tried += 1 + try_neighbours(target, seed);
  }
  std::printf("test cases: %d | %d passed | %d failed\n", tried + failed, tried, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamina::fuzz

int main(int argc, char** argv) {
  if (argc == 2) return lamina::fuzz::run_seeds(argv[1]);
  std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
  return 2;
}
