// docs/api.md against the headers: that it has every name a program can use, and none that there is not.
#include <map>

#include "catch.h"
#include "source_tree.h"

namespace lamina::tests {
namespace {

std::string text_of(const SourceFiles& files, const std::string& path) {
  for (const SourceFile& file : files)
    if (file.path == path) return file.text;
  return {};
}

std::string without_comments(const std::string& text) {
  return std::regex_replace(text, std::regex("//[^\n]*"), "");
}

// The headers that lamina/lamina.h brings along, itself among them, without their comments.
SourceFiles public_headers(const SourceFiles& files) {
  SourceFiles found;
  Names paths, next{"lamina/lamina.h"};
  while (!next.empty()) {
    const std::string path = next.extract(next.begin()).value();
    for (const SourceFile& file : files) {
      if (file.path != path || !paths.insert(path).second) continue;
      found.push_back({file.path, without_comments(file.text)});
      for (const std::string& include : file.includes()) next.insert(include);
    }
  }
  return found;
}

// Names by what they are: the page calls functions, and has the others as words.
struct PublicNames {
  Names functions, others;
};

// Declarations at namespace level begin in the first column. Of the namespaces within lamina those that
// programs name; data::, analysis:: and compare:: stand before their names.
PublicNames public_names(const SourceFiles& headers) {
  static const std::regex opens(R"(\nnamespace lamina(?:::(\w+))? \{)"),
      type(
          R"(\n(?:(?:enum )?(?:class|struct) (\w+)(?: final)?(?: : [^;{]*)? \{|using (\w+) =|inline constexpr [\w:]+ (\w+)))"),
      function(
          R"(\n(?!static_assert|template|using|requires|decltype)(?:[A-Za-z\[][^(=;\n]*[\s&*])?(\w+)\()");
  PublicNames names;
  for (const SourceFile& header : headers) {
    std::smatch match;
    if (!std::regex_search(header.text, match, opens)) continue;
    const std::string inner = match[1];
    if (!Names{"", "data", "analysis", "compare"}.contains(inner)) continue;
    const auto collect = [&](const std::regex& pattern, Names& into) {
      for (std::sregex_iterator at(header.text.begin(), header.text.end(), pattern), end; at != end; ++at)
        for (std::size_t group = 1; group < at->size(); ++group)
          if ((*at)[group].matched) into.insert((inner.empty() ? "" : inner + "::") + at->str(group));
    };
    collect(type, names.others);
    collect(function, names.functions);
  }
  return names;
}

using Row = std::vector<std::string>;  // its cells

// Of all tables, without the lines below their heads.
std::vector<Row> table_rows(const std::string& page) {
  static const std::regex line(R"(\n\| (.*) \|(?=\n))"), bar(R"( \| ?)");
  std::vector<Row> rows;
  for (std::sregex_iterator at(page.begin(), page.end(), line), end; at != end; ++at) {
    const std::string cells = at->str(1);
    rows.emplace_back(std::sregex_token_iterator(cells.begin(), cells.end(), bar, -1),
                      std::sregex_token_iterator());
  }
  return rows;
}

// The first group of every match in what stands in backticks.
Names in_code(const std::string& cell, const std::regex& pattern) {
  static const std::regex code("`([^`]+)`");
  Names found;
  for (std::sregex_iterator span(cell.begin(), cell.end(), code), end; span != end; ++span) {
    const std::string text = span->str(1);
    for (std::sregex_iterator at(text.begin(), text.end(), pattern); at != end; ++at)
      found.insert(at->str(1));
  }
  return found;
}

// Of a page in two parts: the reference, and the lines for people coming from PyTorch.
constexpr const char* second_part = "\n## For people coming from PyTorch\n";
std::string reference(const std::string& page) { return page.substr(0, page.find(second_part)); }
std::vector<Row> pytorch_rows(const std::string& page) {
  const std::size_t begin = page.find(second_part);
  std::vector<Row> rows = table_rows(begin == std::string::npos ? "" : page.substr(begin));
  if (!rows.empty()) rows.erase(rows.begin());  // the head
  return rows;
}

// What the page lacks: a name counts where it has a row, in the first cell.
Names undocumented(const SourceFiles& headers, const std::string& page) {
  static const std::regex word(R"((?:^|[^.\w:])([A-Za-z_][\w:]*))"),
      call(R"((?:^|[^.\w:])([A-Za-z_][\w:]*)\()");
  Names words, calls;
  for (const Row& row : table_rows(reference(page))) {
    words.merge(in_code(row.front(), word));
    calls.merge(in_code(row.front(), call));
  }
  PublicNames names = public_names(headers);
  names.others.erase("Print");  // of which `print` is the only one
  Names lacking;
  for (const std::string& name : names.others)
    if (!words.contains(name)) lacking.insert(name);
  for (const std::string& name : names.functions)
    if (!calls.contains(name)) lacking.insert(name + "()");
  return lacking;
}

// What the page has and the headers do not: words where names have their rows, and calls anywhere. An object
// that an example makes is no function.
Names unknown_names(const SourceFiles& headers, const std::string& page) {
  static const std::regex word(R"(([A-Za-z_]\w*))"), call(R"((\w+)(?:<\w+>)?\()"), called(R"((\w+)\()");
  std::string code;
  for (const SourceFile& header : headers) code += header.text;
  const auto all_of = [&](const std::regex& pattern) {
    Names found;
    for (std::sregex_iterator at(code.begin(), code.end(), pattern), end; at != end; ++at)
      found.insert(at->str(1));
    return found;
  };
  const Names words = all_of(word), calls = all_of(called), types = public_names(headers).others;
  const Names objects{"net", "optimizer", "o", "l"}, of_the_language{"static_cast"};
  Names unknown;
  const auto check_calls = [&](const std::string& cell) {
    for (const std::string& name : in_code(cell, call))
      if (!calls.contains(name) && !types.contains(name) && !types.contains("data::" + name) &&
          !objects.contains(name) && !of_the_language.contains(name))
        unknown.insert(name + "()");
  };
  for (const Row& row : table_rows(reference(page))) {
    for (const std::string& name : in_code(row.front(), word))
      if (!words.contains(name)) unknown.insert(name);
    for (const std::string& cell : row) check_calls(cell);
  }
  for (const Row& row : pytorch_rows(page)) check_calls(row.at(1));
  return unknown;
}

std::string without_spaces(const std::string& text) {
  return std::regex_replace(text, std::regex("\\s+"), "");
}

// Spellings for people coming from PyTorch that the source file does not have, whatever its line breaks.
Names not_compiled(const std::string& page, const std::string& source) {
  const std::string code = without_spaces(without_comments(source));
  Names lacking;
  for (const Row& row : pytorch_rows(page))
    for (const std::string& spelling : in_code(row.at(1), std::regex("(.+)")))
      if (code.find(without_spaces(spelling)) == std::string::npos) lacking.insert(spelling);
  return lacking;
}

}  // namespace

TEST_CASE("docs/api.md has every public name", "[structure][api]") {
  const SourceFiles headers = public_headers(code_files());
  const PublicNames names = public_names(headers);
  CHECK(names.functions.size() > 150);
  CHECK(names.others.size() > 100);
  CHECK(undocumented(headers, text_of(source_files(), "docs/api.md")) == nothing);

  const SourceFiles few{{"lamina/lamina.h",
                         "#include \"data/a.h\"\n\nnamespace lamina {\n\nclass A {\n  int f();\n};\n"
                         "struct B;\n[[noreturn]] void\ng(int);\nTensor h(int x);\n"
                         "enum class E { a };\ninline constexpr int c = f(1);\n"},
                        {"data/a.h", "\nnamespace lamina::data {\nusing T = A;\nT& open(int);\n}\n"},
                        {"core/b.h", "\nnamespace lamina {\nvoid not_reached();\n}\n"}};
  CHECK(undocumented(public_headers(few), "") ==
        Names{"A", "E", "c", "data::T", "data::open()", "g()", "h()"});
  const std::string page =
      "\n| `A`, `x.E`, `c` | |\n| `h(x)`, `g` | `data::T` |\n| `data::open()`, `T` | `E` |\n";
  CHECK(undocumented(public_headers(few), page) == Names{"E", "data::T", "g()"});
}

TEST_CASE("docs/api.md has no name that there is not", "[structure][api]") {
  CHECK(unknown_names(public_headers(code_files()), text_of(source_files(), "docs/api.md")) == nothing);

  const SourceFiles few{
      {"lamina/lamina.h", "\nnamespace lamina {\nclass A {};\nvoid f(int x);  // not y\n}\n"}};
  CHECK(unknown_names(public_headers(few), "\n| name | |\n| `f(x)`, `A` | `anything` |\n") == nothing);
  CHECK(unknown_names(public_headers(few), "\n| `f(y)`, `A`, y | `g(1)`, `A(z)` |\n") == Names{"g()", "y"});
  CHECK(unknown_names(public_headers(few),
                      std::string(second_part) +
                          "\n| PyTorch | L |\n| `g(x)` | `f(x)` |\n| `f` | `h<A>(x)` |\n") == Names{"h()"});
}

TEST_CASE("what docs/api.md says to people coming from PyTorch compiles", "[structure][api]") {
  const std::string page = text_of(source_files(), "docs/api.md");
  CHECK(pytorch_rows(page).size() >= 70);
  CHECK(not_compiled(page, text_of(source_files(), "tests/compare_first_lines.cpp")) == nothing);

  const std::string rows =
      std::string(second_part) + "\n| PyTorch | L |\n| `a` | `f(x, 1)` |\n| `b` | `g(x)` |\n";
  CHECK(not_compiled(rows, "CHECK(f(x,\n  1)); // g(x)\n") == Names{"g(x)"});
}

}  // namespace lamina::tests
