// The shape of the source tree: which folder may include which, twin kernels, sizes of files, forbidden
// flags.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "catch.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

const fs::path root = LAMINA_SOURCE_DIR;
const Names none;

struct SourceFile {
  std::string path;  // from the root, with slashes
  std::string text;

  bool in(const std::string& folder) const { return path.starts_with(folder + "/"); }
  std::ptrdiff_t lines() const { return std::count(text.begin(), text.end(), '\n'); }
  bool is_code() const {
    const std::string extension = fs::path(path).extension();
    return Names{".h", ".cpp", ".cu", ".cuh"}.contains(extension);
  }
  std::vector<std::string> includes() const {
    static const std::regex pattern(R"re((?:^|\n)\s*#\s*include\s*[<"]([^>"]+)[>"])re");
    std::vector<std::string> found;
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
      found.push_back((*match)[1]);
    return found;
  }
};

SourceFile read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {fs::relative(path, root).generic_string(), {std::istreambuf_iterator<char>(file), {}}};
}

// The project's own text: its folders, and the files at the root. Build folders and data sets are elsewhere.
std::vector<SourceFile> source_files() {
  std::vector<SourceFile> files;
  for (const char* folder :
       {"core", "layers", "optim", "data", "apps", "lamina", "tests", "scripts", "docs", ".ci"}) {
    if (!fs::is_directory(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      const bool text =
          !Names{".safetensors", ".png", ".jpg", ".gz", ".bin", ".svg", ".pyc"}.contains(extension);
      if (entry.is_regular_file() && text) files.push_back(read(entry.path()));
    }
  }
  for (const auto& entry : fs::directory_iterator(root))
    if (entry.is_regular_file()) files.push_back(read(entry.path()));
  return files;
}

std::vector<SourceFile> code_files() {
  std::vector<SourceFile> files = source_files();
  std::erase_if(files, [](const SourceFile& file) { return !file.is_code(); });
  return files;
}

bool is_optimizer_engine(const SourceFile& file) {
  return file.in("optim") && fs::path(file.path).stem().string().starts_with("engine");
}

// "file includes header" for every include that `forbidden(file, header)`.
template <typename Forbidden>
Names violations(const Forbidden& forbidden) {
  Names found;
  for (const SourceFile& file : code_files())
    for (const std::string& header : file.includes())
      if (forbidden(file, header)) found.insert(file.path + " includes " + header);
  return found;
}

bool starts_with_any(const std::string& text, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return text.starts_with(prefix); });
}

}  // namespace

TEST_CASE("the scan sees the source tree", "[structure]") {
  CHECK(code_files().size() > 40);
  const SourceFile sample{"core/x.cpp", "#include <a/b.h>\n  # include \"core/y.h\"\n// #include <no.h>\n"};
  CHECK(sample.includes() == std::vector<std::string>{"a/b.h", "core/y.h"});
}

TEST_CASE("includes point one way: apps, then layers, optim and data, then core", "[structure]") {
  // A folder, and the folders of the project it may include.
  const std::map<std::string, Names> allowed{
      {"core", {"core"}},
      {"layers", {"layers", "core"}},
      {"optim", {"optim", "core"}},
      {"data", {"data", "core"}},
      {"lamina", {"lamina", "layers", "optim", "data", "core"}},
      {"apps", {"apps", "lamina", "layers", "optim", "data", "core"}},
  };
  CHECK(violations([&](const SourceFile& file, const std::string& header) {
          const auto from = allowed.find(file.path.substr(0, file.path.find('/')));
          const std::string to = header.substr(0, header.find('/'));
          return from != allowed.end() && (allowed.contains(to) || to == "tests") &&
                 !from->second.contains(to);
        }) == none);
}

TEST_CASE("ops reach the kernels through the Backend alone", "[structure]") {
  CHECK(violations([](const SourceFile& file, const std::string& header) {
          const bool kernel_header = starts_with_any(header, {"core/cpu/", "core/cuda/"});
          const bool may =
              file.in("core/cpu") || file.in("core/cuda") || file.in("tests") || is_optimizer_engine(file);
          return kernel_header && !may;
        }) == none);
  CHECK(violations([](const SourceFile& file, const std::string& header) {
          return file.in("core/math") && header != "core/host_device.h" && header != "core/bf16.h" &&
                 header.starts_with("core/") && !header.starts_with("core/math/");
        }) == none);
}

TEST_CASE("Eigen and CUDA headers stay inside the kernels", "[structure]") {
  CHECK(violations([](const SourceFile& file, const std::string& header) {
          return header.starts_with("Eigen/") && !file.in("core/cpu") && !is_optimizer_engine(file);
        }) == none);
  CHECK(violations([](const SourceFile& file, const std::string& header) {
          return starts_with_any(
                     header, {"cuda", "cublas", "cudnn", "nccl", "cub/", "thrust/", "cooperative_groups"}) &&
                 !file.in("core/cuda") && !is_optimizer_engine(file);
        }) == none);
}

TEST_CASE("every CUDA kernel file has a CPU twin of the same stem", "[structure]") {
  Names cpu, without_twin;
  for (const SourceFile& file : code_files())
    if (file.in("core/cpu")) cpu.insert(fs::path(file.path).stem());
  for (const SourceFile& file : code_files()) {
    const fs::path path = file.path;
    if (file.in("core/cuda") && path.extension() == ".cu" && !cpu.contains(path.stem()))
      without_twin.insert(file.path);
  }
  CHECK(without_twin == none);
}

TEST_CASE("no file is over 500 lines", "[structure]") {
  Names too_long;
  std::vector<std::ptrdiff_t> lengths;
  for (const SourceFile& file : code_files()) {
    lengths.push_back(file.lines());
    if (file.lines() > 500) too_long.insert(file.path + " has " + std::to_string(file.lines()) + " lines");
  }
  CHECK(too_long == none);
  std::sort(lengths.begin(), lengths.end());
  const std::ptrdiff_t median = lengths[lengths.size() / 2];
  WARN(lengths.size() << " source files, median " << median << " lines, longest " << lengths.back());
  CHECK(median < 250);
}

TEST_CASE("headers are guarded by #pragma once and files end with a newline", "[structure]") {
  Names wrong;
  for (const SourceFile& file : code_files()) {
    const bool header = fs::path(file.path).extension() == ".h";
    if (header && file.text.find("#pragma once") == std::string::npos) wrong.insert(file.path);
    if (!file.text.ends_with('\n')) wrong.insert(file.path);
  }
  CHECK(wrong == none);
}

TEST_CASE("no flag trades away IEEE arithmetic", "[structure]") {
  const std::regex flags(
      "-ffast-math|-Ofast|-ffinite-math|-funsafe-math|-fassociative-math|-freciprocal-math|"
      "use_fast_math|GCC optimize");
  Names found;
  for (const SourceFile& file : source_files()) {
    const bool builds = file.is_code() || file.path.ends_with("CMakeLists.txt") ||
                        file.path.ends_with(".cmake") || file.path.ends_with(".json");
    if (builds && !file.path.ends_with("core_structure.cpp") && std::regex_search(file.text, flags))
      found.insert(file.path);
  }
  CHECK(found == none);
}

TEST_CASE("no file knows the machine it was written on", "[structure]") {
  // A user's folder or a build machine's, as an absolute path.
  const std::regex paths(
      "(^|[^A-Za-z0-9_.~}])/(wor"
      "k|hom"
      "e/[a-z]|root/|Users/)");
  Names found;
  for (const SourceFile& file : source_files()) {
    std::smatch match;
    if (std::regex_search(file.text, match, paths)) found.insert(file.path + ": " + match.str());
  }
  CHECK(found == none);
}

}  // namespace lamina::tests
