#include "target.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace lamina::fuzz {
namespace {

namespace fs = std::filesystem;

// In memory where there is such a folder: a fuzzer writes thousands of files a second.
class Scratch {
 public:
  Scratch() {
    const fs::path memory = "/dev/shm";
    const fs::path parent = fs::is_directory(memory) ? memory : fs::temp_directory_path();
    path_ = parent / ("lamina-fuzz-" + std::to_string(::getpid()));
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> all;
  return all;
}

void expect(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", claim);
  std::abort();
}

std::string text_of(Input input) { return {input.begin(), input.end()}; }

std::vector<std::string> pieces_of(Input input, std::size_t count) {
  std::vector<std::string> pieces;
  auto begin = input.begin();
  while (pieces.size() + 1 < count) {
    const auto end = std::find(begin, input.end(), 0);
    pieces.emplace_back(begin, end);
    begin = end == input.end() ? end : end + 1;
  }
  pieces.emplace_back(begin, input.end());
  return pieces;
}

fs::path empty_folder() {
  static const Scratch scratch;
  fs::remove_all(scratch.path());
  fs::create_directories(scratch.path());
  return scratch.path();
}

fs::path put(const fs::path& path, std::string_view contents) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << contents;
  return path;
}

}  // namespace lamina::fuzz
