// Where NVIDIA's libraries are looked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::cuda {

struct LibraryName {
  const char* file;      // "libcudnn.so.9"
  const char* built;     // where the build found it
  const char* variable;  // of the environment: the folder it is to be taken from, or the file
};

// The files to try, in order: the one that the variable names, and then no other; in the folders nvidia/*/lib
// that a Python package of ours has beside it; where the build found it; in those of Python's folders; and by
// its name alone, wherever the system looks (LD_LIBRARY_PATH).
std::vector<std::string> library_files(const LibraryName& name);

// In the folders nvidia/*/lib beside `origin`, the folder of this program or library: in it, in the two above
// it, and in the environment whose bin it is.
std::vector<std::string> beside(const std::filesystem::path& origin, const std::string& file);

}  // namespace lamina::cuda
