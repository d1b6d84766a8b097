// The shape of the source tree: which folder may include which, and what stays inside its room.
#include <functional>
#include <initializer_list>
#include <map>

#include "catch.h"
#include "source_tree.h"

namespace lamina::tests {
namespace {

bool starts_with_any(const std::string& text, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return text.starts_with(prefix); });
}

// "file includes header" for every include that `forbidden(file, header)`.
Names forbidden_includes(const SourceFiles& files,
                         const std::function<bool(const SourceFile&, const std::string&)>& forbidden) {
  Names found;
  for (const SourceFile& file : files)
    for (const std::string& header : file.includes())
      if (forbidden(file, header)) found.insert(file.path + " includes " + header);
  return found;
}

// Upward and sideways, between the folders of the root. Tests may include anything.
Names upward_includes(const SourceFiles& files) {
  static const std::map<std::string, Names> allowed{
      {"core", {"core"}},
      {"layers", {"layers", "core"}},
      {"optim", {"optim", "core"}},
      {"data", {"data", "core"}},
      {"train", {"train", "layers", "optim", "data", "core"}},
      {"analysis", {"analysis", "train", "layers", "optim", "data", "core"}},
      {"compare", {"compare", "train", "layers", "optim", "data", "core"}},
      {"lamina", {"lamina", "analysis", "compare", "train", "layers", "optim", "data", "core"}},
      {"apps", {"apps", "lamina", "analysis", "compare", "train", "layers", "optim", "data", "core"}},
      {"examples", {"examples", "lamina"}},
      {"studies", {"studies", "lamina"}},
  };
  return forbidden_includes(files, [](const SourceFile& file, const std::string& header) {
    const auto from = allowed.find(top_folder(file.path));
    const std::string to = header.find('/') == std::string::npos ? "" : top_folder(header);
    return from != allowed.end() && (allowed.contains(to) || to == "tests") && !from->second.contains(to);
  });
}

// "core/ops" of "core/ops/conv.h", "core" of "core/tensor.h".
std::string room_of_core(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Inside core. An entry is a room, or a header that alone is allowed of its room.
Names includes_against_the_order_of_core(const SourceFiles& files) {
  static const std::map<std::string, Names> allowed{
      {"core/base", {"core/base"}},
      {"core/memory", {"core/memory", "core/base"}},
      {"core/math", {"core/math", "core/base/host_device.h", "core/bf16.h"}},
      {"core/files", {"core/files", "core", "core/base"}},
      {"core/parallel", {"core/parallel", "core/base"}},
      {"core/ops", {"core/ops", "core", "core/memory", "core/math", "core/base"}},
      {"core/cpu", {"core/cpu", "core", "core/memory", "core/math", "core/base"}},
      {"core/cuda", {"core/cuda", "core", "core/memory", "core/math", "core/base"}},
  };
  return forbidden_includes(files, [](const SourceFile& file, const std::string& header) {
    const auto from = allowed.find(room_of_core(file.path));
    return from != allowed.end() && top_folder(header) == "core" &&
           !from->second.contains(room_of_core(header)) && !from->second.contains(header);
  });
}

// Kernels, their headers and their libraries are for core/cpu and core/cuda, and for the optimizers' engine.
Names includes_of_kernels(const SourceFiles& files) {
  return forbidden_includes(files, [](const SourceFile& file, const std::string& header) {
    return starts_with_any(header, {"core/cpu/", "core/cuda/"}) && !file.in("core/cpu") &&
           !file.in("core/cuda") && !file.in("tests") && !file.in("optim/engine");
  });
}

Names libraries_outside_their_room(const SourceFiles& files) {
  return forbidden_includes(files, [](const SourceFile& file, const std::string& header) {
    if (file.in("optim/engine")) return false;
    const bool cuda =
        starts_with_any(header, {"cuda", "cublas", "cudnn", "nccl", "cub/", "thrust/", "cooperative_groups"});
    const bool eigen = header.starts_with("Eigen/") && file.path != "analysis/tridiagonal.cpp";
    if (header == "mpi.h") return !file.in("core/parallel");
    return eigen || (cuda && !file.in("core/cuda"));
  });
}

// A header beside the file, or above it: hides which way an include points.
Names includes_without_path(const SourceFiles& files) {
  Names paths;
  for (const SourceFile& file : files) paths.insert(file.path);
  return forbidden_includes(files, [&](const SourceFile& file, const std::string& header) {
    const std::string folder = file.path.substr(0, file.path.rfind('/') + 1);
    return !file.in("tests") && (header.starts_with(".") || header.find("/../") != std::string::npos ||
                                 (header.find('/') == std::string::npos && paths.contains(folder + header)));
  });
}

Names kernels_without_twin(const SourceFiles& files) {
  Names cpu, found;
  const auto stem = [](const SourceFile& file) { return std::filesystem::path(file.path).stem().string(); };
  for (const SourceFile& file : files)
    if (file.in("core/cpu")) cpu.insert(stem(file));
  for (const SourceFile& file : files)
    if (file.in("core/cuda") && file.path.ends_with(".cu") && !cpu.contains(stem(file)))
      found.insert(file.path);
  return found;
}

// A file that includes `headers`.
SourceFile including(const std::string& path, std::initializer_list<const char*> headers) {
  SourceFile file{path, ""};
  for (const char* header : headers) file.text += std::string("#include \"") + header + "\"\n";
  return file;
}

// What is wrong, without "path includes ".
Names found_in(const std::string& path, const Names& violations) {
  Names headers;
  const std::string prefix = path + " includes ";
  for (const std::string& violation : violations)
    if (violation.starts_with(prefix)) headers.insert(violation.substr(prefix.size()));
  return headers;
}

}  // namespace

TEST_CASE("the scan sees the source tree", "[structure]") {
  CHECK(code_files().size() > 40);
  const SourceFile sample{"core/x.cpp", "#include <a/b.h>\n  # include \"core/y.h\"\n// #include <no.h>\n"};
  CHECK(sample.includes() == std::vector<std::string>{"a/b.h", "core/y.h"});
}

TEST_CASE("includes point one way: apps, compare and analysis, train, then layers, optim and data, then core",
          "[structure]") {
  CHECK(upward_includes(code_files()) == nothing);

  const auto wrong = [](const std::string& path, std::initializer_list<const char*> headers) {
    return found_in(path, upward_includes({including(path, headers)}));
  };
  CHECK(wrong("core/ops/a.cpp", {"layers/b.h", "core/c.h", "lamina/lamina.h", "compare"}) ==
        Names{"layers/b.h", "lamina/lamina.h"});
  CHECK(wrong("layers/a.h", {"optim/b.h", "data/b.h", "core/b.h"}) == Names{"optim/b.h", "data/b.h"});
  CHECK(wrong("data/sets/a.h", {"layers/b.h", "data/b.h"}) == Names{"layers/b.h"});
  CHECK(wrong("train/objectives/a.cpp", {"compare/b.h", "analysis/b.h", "apps/b.h", "data/b.h"}) ==
        Names{"compare/b.h", "analysis/b.h", "apps/b.h"});
  CHECK(wrong("compare/report/a.cpp", {"analysis/b.h", "train/b.h", "compare/b.h"}) == Names{"analysis/b.h"});
  CHECK(wrong("analysis/a.cpp", {"compare/b.h", "train/b.h"}) == Names{"compare/b.h"});
  CHECK(wrong("lamina/lamina.h", {"apps/b.h", "tests/b.h", "compare/b.h"}) == Names{"apps/b.h", "tests/b.h"});
  CHECK(wrong("examples/a.cpp", {"train/b.h", "lamina/b.h"}) == Names{"train/b.h"});
  CHECK(wrong("studies/a.cpp", {"core/b.h", "lamina/b.h"}) == Names{"core/b.h"});
  CHECK(wrong("apps/a.cpp", {"tests/b.h", "compare/report/b.h", "lamina/b.h"}) == Names{"tests/b.h"});
  CHECK(wrong("tests/a.cpp", {"apps/b.h", "core/b.h"}) == nothing);
}

TEST_CASE("inside core, base knows nothing above it, and formulas and memory little", "[structure]") {
  CHECK(includes_against_the_order_of_core(code_files()) == nothing);

  const auto wrong = [](const std::string& path, std::initializer_list<const char*> headers) {
    return found_in(path, includes_against_the_order_of_core({including(path, headers)}));
  };
  CHECK(wrong("core/base/a.h", {"core/base/b.h", "core/tensor.h", "core/files/b.h", "vector"}) ==
        Names{"core/tensor.h", "core/files/b.h"});
  CHECK(wrong("core/memory/a.h", {"core/base/b.h", "core/ops/b.h", "core/memory/b.h"}) ==
        Names{"core/ops/b.h"});
  CHECK(wrong("core/math/a.h", {"core/base/host_device.h", "core/bf16.h", "core/base/error.h",
                                "core/tensor.h"}) == Names{"core/base/error.h", "core/tensor.h"});
  CHECK(wrong("core/files/a.cpp", {"core/tensor.h", "core/ops/b.h"}) == Names{"core/ops/b.h"});
  CHECK(wrong("core/ops/a.cpp", {"core/backend.h", "core/cpu/b.h"}) == Names{"core/cpu/b.h"});
  CHECK(wrong("core/cpu/a.cpp", {"core/math/b.h", "core/cuda/b.h"}) == Names{"core/cuda/b.h"});
  CHECK(wrong("core/cuda/a.cu", {"core/ops/b.h", "core/cuda/b.h"}) == Names{"core/ops/b.h"});
  CHECK(wrong("core/tensor.cpp", {"core/ops/b.h", "core/memory/b.h"}) == nothing);
}

TEST_CASE("ops reach the kernels through the Backend alone", "[structure]") {
  CHECK(includes_of_kernels(code_files()) == nothing);
  CHECK(includes_of_kernels({including("core/ops/a.cpp", {"core/cpu/b.h"}),
                             including("layers/a.cpp", {"core/cuda/b.h"}),
                             including("optim/engine/a.cpp", {"core/cpu/b.h"})}) ==
        Names{"core/ops/a.cpp includes core/cpu/b.h", "layers/a.cpp includes core/cuda/b.h"});
}

TEST_CASE("the headers of Eigen, CUDA and MPI stay in their rooms", "[structure]") {
  CHECK(libraries_outside_their_room(code_files()) == nothing);
  CHECK(libraries_outside_their_room({including("core/ops/a.cpp", {"Eigen/Core", "cudnn.h", "mpi.h"}),
                                      including("analysis/tridiagonal.cpp", {"Eigen/Core", "cuda_runtime.h"}),
                                      including("core/cuda/a.cpp", {"cublas_v2.h"})}) ==
        Names{"core/ops/a.cpp includes Eigen/Core", "core/ops/a.cpp includes cudnn.h",
              "core/ops/a.cpp includes mpi.h", "analysis/tridiagonal.cpp includes cuda_runtime.h"});
}

TEST_CASE("includes name the path from the root", "[structure]") {
  CHECK(includes_without_path(code_files()) == nothing);
  CHECK(includes_without_path(
            {including("core/a.cpp", {"b.h", "../apps/c.h", "vector", "core/b.h", "core/../d.h"}),
             {"core/b.h", ""}}) == Names{"core/a.cpp includes b.h", "core/a.cpp includes ../apps/c.h",
                                         "core/a.cpp includes core/../d.h"});
}

TEST_CASE("every CUDA kernel file has a CPU twin of the same stem", "[structure]") {
  CHECK(kernels_without_twin(code_files()) == nothing);
  CHECK(kernels_without_twin(
            {{"core/cpu/conv.cpp", ""}, {"core/cuda/conv.cu", ""}, {"core/cuda/pool.cu", ""}}) ==
        Names{"core/cuda/pool.cu"});
}

}  // namespace lamina::tests
