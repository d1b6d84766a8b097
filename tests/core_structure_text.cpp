// What the text of the sources keeps to: sizes of files and functions, and what may not be written anywhere.
#include "catch.h"
#include "source_functions.h"
#include "source_tree.h"

namespace lamina::tests {
namespace {

constexpr std::ptrdiff_t most_lines_of_file = 350, most_lines_of_function = 60, most_lines_of_test_case = 80;

Names long_files(const SourceFiles& files) {
  Names found;
  for (const SourceFile& file : files)
    if (file.lines() > most_lines_of_file)
      found.insert(file.path + " has " + std::to_string(file.lines()) + " lines");
  return found;
}

Names long_functions(const SourceFiles& files) {
  Names found;
  for (const SourceFile& file : files) {
    const Functions functions = functions_of(file.text);
    if (!functions.balanced) found.insert(file.path + " has braces that do not match");
    for (const Function& function : functions.list) {
      const bool test_case = file.in("tests") && function.is_test_case();
      if (function.lines > (test_case ? most_lines_of_test_case : most_lines_of_function))
        found.insert(file.path + ":" + std::to_string(function.line) + " " + function.name + " has " +
                     std::to_string(function.lines) + " lines");
    }
  }
  return found;
}

Names without_guard_or_newline(const SourceFiles& files) {
  Names found;
  for (const SourceFile& file : files) {
    const bool header = file.path.ends_with(".h") || file.path.ends_with(".cuh");
    if (header && file.text.find("#pragma once") == std::string::npos) found.insert(file.path);
    if (!file.text.ends_with('\n')) found.insert(file.path);
  }
  return found;
}

// In halves, so that this file does not find itself.
Names fast_math(const SourceFiles& files) {
  static const std::regex flags(
      "-ffast-"
      "math|-Of"
      "ast|-ffinite-"
      "math|-funsafe-"
      "math|-fassociative-"
      "math|-freciprocal-"
      "math|"
      "use_fast_"
      "math|GCC opti"
      "mize");
  Names found;
  for (const SourceFile& file : files) {
    const bool builds = file.is_code() || file.configures_build() || file.path.ends_with(".json");
    if (builds && std::regex_search(file.text, flags)) found.insert(file.path);
  }
  return found;
}

// A user's folder or a build machine's, as an absolute path.
Names machine_paths(const SourceFiles& files) {
  static const std::regex paths(
      "(^|[^A-Za-z0-9_.~}])/(wor"
      "k|hom"
      "e/[a-z]|root/|Users/)");
  Names found;
  for (const SourceFile& file : files) {
    std::smatch match;
    if (std::regex_search(file.text, match, paths)) found.insert(file.path + ": " + match.str());
  }
  return found;
}

// Names that clash are to be changed, not kept apart by the build.
Names files_compiled_alone(const SourceFiles& files) {
  Names found;
  for (const SourceFile& file : files)
    if (file.configures_build() && file.text.find("SKIP_UNITY_BUILD_INCLUSION") != std::string::npos)
      found.insert(file.path);
  return found;
}

std::string lines_of(std::ptrdiff_t count) { return std::string(static_cast<std::size_t>(count), '\n'); }

// "name:lines" for each function found.
std::vector<std::string> summary_of(const std::string& source) {
  std::vector<std::string> summary;
  for (const Function& function : functions_of(source).list)
    summary.push_back(function.name + ":" + std::to_string(function.lines));
  return summary;
}

using Summary = std::vector<std::string>;

}  // namespace

TEST_CASE("no file is over 350 lines", "[structure]") {
  CHECK(long_files(code_files()) == nothing);
  CHECK(long_files({{"core/a.cpp", lines_of(350)}, {"tests/b.cpp", lines_of(351)}}) ==
        Names{"tests/b.cpp has 351 lines"});
}

TEST_CASE("no function is over 60 lines, no test case over 80", "[structure]") {
  CHECK(long_functions(code_files()) == nothing);

  const std::string sixty = "int f() {" + lines_of(59) + "}\n", more = "int f() {" + lines_of(60) + "}\n";
  CHECK(long_functions(
            {{"core/a.cpp", sixty}, {"core/b.cu", more}, {"core/c.h", "namespace {\n" + more + "}\n"}}) ==
        Names{"core/b.cu:1 f has 61 lines", "core/c.h:2 f has 61 lines"});
  CHECK(long_functions({{"tests/a.cpp", "TEST_CASE(\"}\") {" + lines_of(79) + "}\n"},
                        {"tests/b.cpp", "TEST_CASE(\"}\") {" + lines_of(80) + "}\n"},
                        {"tests/c.cpp", more}}) ==
        Names{"tests/b.cpp:1 TEST_CASE has 81 lines", "tests/c.cpp:1 f has 61 lines"});
  CHECK(long_functions({{"core/a.cpp", "namespace a {\n"}}) ==
        Names{"core/a.cpp has braces that do not match"});
}

TEST_CASE("the scanner finds functions wherever they are declared", "[structure]") {
  CHECK(summary_of(
            "template <typename T = int>\nstruct A : B<T> {\n public:\n  A(int b) : b_{b}, c_(b) {\n  }\n"
            "  bool operator==(const A&) const { return true; }\n  std::vector<int> b_{1,\n2};\n};\n") ==
        Summary{"A:2", "operator_:1"});
  CHECK(summary_of("extern \"C\" {\nvoid f() {\n}\n}\nenum class E : int { a, b };\n"
                   "namespace x::y {\n[[nodiscard]] auto g() -> std::vector<int> {\n\n}\n}\n") ==
        Summary{"f:2", "g:3"});
  CHECK(summary_of(
            "const int table[] = {\n1, 2};\nconst auto f = [](int x) {\n return x; };\n"
            "const std::map<std::string, void (*)(int)> names{\n{}};\nstruct alignas(16) S {\nint x;\n};\n"
            "struct S make() {\n}\n") == Summary{"const auto f :2", "make:2"});
  CHECK(summary_of("template <typename T>\n  requires small<T>\nvoid f(T x) {\n  struct Local { int a; };\n  "
                   "if (x) {\n  }\n}\n") == Summary{"f:7"});
  CHECK(summary_of("Data open(int) try {\n} catch (const Error& e) {\n}\n") == Summary{"open:2", "catch:2"});
}

TEST_CASE("braces in comments, literals and directives do not count", "[structure]") {
  const std::string source =
      "#define OPEN {\\\n{\nvoid f() {  // {\n  /* {\n */ g('{', \"{\\\"{\", '\\'', 1'000'000);\n"
      "  g(R\"x({)\" { )x\", u8R\"({)\", '\"');\n}\n";
  CHECK(functions_of(source).balanced);
  CHECK(summary_of(source) == Summary{"f:5"});
  CHECK_FALSE(functions_of("void f() {{\n}").balanced);
  CHECK_FALSE(functions_of("void f() {}}\n").balanced);
}

TEST_CASE("headers are guarded by #pragma once and files end with a newline", "[structure]") {
  CHECK(without_guard_or_newline(code_files()) == nothing);
  CHECK(without_guard_or_newline({{"a.h", "int x;\n"}, {"b.h", "#pragma once\n"}, {"c.cpp", "int x;"}}) ==
        Names{"a.h", "c.cpp"});
}

TEST_CASE("no flag trades away IEEE arithmetic", "[structure]") {
  CHECK(fast_math(source_files()) == nothing);
  const std::string flag = std::string("-ffast-") + "math";
  CHECK(fast_math({{"CMakeLists.txt", flag}, {"cmake/a.cmake", flag}, {"README.md", flag}}) ==
        Names{"CMakeLists.txt", "cmake/a.cmake"});
}

TEST_CASE("no file knows the machine it was written on", "[structure]") {
  CHECK(machine_paths(source_files()) == nothing);
  const std::string path = std::string("/hom") + "e/someone";
  CHECK(machine_paths({{"docs/a.md", "see " + path}, {"docs/b.md", "https://x.org" + path}}) ==
        Names{"docs/a.md:  " + path.substr(0, 7)});
}

TEST_CASE("no file has to be compiled alone", "[structure]") {
  CHECK(files_compiled_alone(source_files()) == nothing);
  const std::string property = "set_property(SKIP_UNITY_BUILD_INCLUSION ON)\n";
  CHECK(files_compiled_alone({{"tests/CMakeLists.txt", property}, {"README.md", property}}) ==
        Names{"tests/CMakeLists.txt"});
}

}  // namespace lamina::tests
