// The project's files as text, for the tests of its shape.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace lamina::tests {

using Names = std::set<std::string>;

struct SourceFile {
  std::string path;  // from the root, with slashes
  std::string text;

  bool in(const std::string& folder) const { return path.starts_with(folder + "/"); }
  std::string name() const { return std::filesystem::path(path).filename(); }
  std::ptrdiff_t lines() const { return std::count(text.begin(), text.end(), '\n'); }
  bool is_code() const {
    const std::string extension = std::filesystem::path(path).extension();
    return Names{".h", ".cpp", ".cu", ".cuh"}.contains(extension);
  }
  bool configures_build() const { return name() == "CMakeLists.txt" || path.ends_with(".cmake"); }
  std::vector<std::string> includes() const {
    static const std::regex pattern(R"re((?:^|\n)\s*#\s*include\s*[<"]([^>"]+)[>"])re");
    std::vector<std::string> found;
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
      found.push_back((*match)[1]);
    return found;
  }
};

using SourceFiles = std::vector<SourceFile>;

// "core" of "core/ops/conv.h"; the whole of a path without folders.
inline std::string top_folder(const std::string& path) { return path.substr(0, path.find('/')); }

// The project's own text: its folders, and the files at the root. Build folders and data sets are elsewhere.
inline SourceFiles read_source_files(const std::filesystem::path& root) {
  SourceFiles files;
  const auto read = [&](const std::filesystem::directory_entry& entry) {
    const std::string extension = entry.path().extension();
    const Names binary{".safetensors", ".png", ".jpg", ".gz", ".bin", ".svg", ".pyc"};
    if (!entry.is_regular_file() || binary.contains(extension)) return;
    std::ifstream file(entry.path(), std::ios::binary);
    files.push_back({std::filesystem::relative(entry.path(), root).generic_string(),
                     {std::istreambuf_iterator<char>(file), {}}});
  };
  for (const char* folder : {"core", "layers", "optim", "data", "train", "analysis", "compare", "apps",
                             "lamina", "studies", "examples", "tests", "scripts", "docs", "cmake", ".ci"}) {
    if (!std::filesystem::is_directory(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) read(entry);
  }
  for (const auto& entry : std::filesystem::directory_iterator(root))
    if (entry.path().filename() != ".git") read(entry);  // a file in further work trees
  return files;
}

inline const SourceFiles& source_files() {
  static const SourceFiles files = read_source_files(LAMINA_SOURCE_DIR);
  return files;
}

inline const SourceFiles& code_files() {
  static const SourceFiles files = [] {
    SourceFiles code;
    std::copy_if(source_files().begin(), source_files().end(), std::back_inserter(code),
                 [](const SourceFile& file) { return file.is_code(); });
    return code;
  }();
  return files;
}

// What a check of the tree finds when nothing is wrong.
inline const Names nothing;

}  // namespace lamina::tests
