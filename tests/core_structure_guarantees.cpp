// docs/guarantees.md names a test beside each promise: it must exist.
#include "catch.h"
#include "source_tree.h"

namespace lamina::tests {
namespace {

// A test case, or elsewhere a name in quotes.
bool has_test(const SourceFiles& files, const std::string& path, const std::string& name) {
  const auto file =
      std::find_if(files.begin(), files.end(), [&](const SourceFile& f) { return f.path == path; });
  if (file == files.end()) return false;
  if (name.empty()) return true;
  static const std::regex line_break(R"re("\s*\n\s*")re");  // of a long literal
  const std::string text = std::regex_replace(file->text, line_break, "");
  const bool has_cases = text.find("TEST_CASE(") != std::string::npos;
  return text.find((has_cases ? "TEST_CASE(\"" : "\"") + name + "\"") != std::string::npos;
}

// In a row "| promise | `tests/FILE`: CASE<br>`tests/FILE` |".
Names tests_that_are_not_there(const std::string& document, const SourceFiles& files) {
  static const std::regex row("(?:^|\n)\\| ([^|\n]+) \\| ([^|\n]+) \\|"), held("`([^`]+)`(?:: (.+))?");
  static const std::regex separator("<br>");
  Names found;
  for (std::sregex_iterator match(document.begin(), document.end(), row), end; match != end; ++match) {
    const std::string cell = (*match)[2];
    if (cell == "held by") continue;
    for (std::sregex_token_iterator test(cell.begin(), cell.end(), separator, -1), none; test != none;
         ++test) {
      const std::string text = *test;
      std::smatch parts;
      if (!std::regex_match(text, parts, held) || !has_test(files, parts[1], parts[2])) found.insert(text);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("every guarantee has its tests", "[structure]") {
  const auto page = std::find_if(source_files().begin(), source_files().end(),
                                 [](const SourceFile& file) { return file.path == "docs/guarantees.md"; });
  REQUIRE(page != source_files().end());
  CHECK(tests_that_are_not_there(page->text, source_files()) == Names{});

  const SourceFiles files{{"tests/a.cpp", "TEST_CASE(\"one\"\n          \" and two\") {"},
                          {"tests/b.cpp", "{.name = \"resume\"}"}};
  CHECK(tests_that_are_not_there("| promised | held by |\n|---|---|\n"
                                 "| a | `tests/a.cpp`: one and two<br>`tests/b.cpp`: resume |\n"
                                 "| b | `tests/b.cpp` |\n"
                                 "| c | `tests/a.cpp`: one<br>`tests/c.cpp` |\n| d | by nobody |\n",
                                 files) == Names{"`tests/a.cpp`: one", "`tests/c.cpp`", "by nobody"});
}

}  // namespace lamina::tests
