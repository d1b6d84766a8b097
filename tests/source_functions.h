// Where the functions of a C++ file begin and how long they are: a scanner of braces, good enough for this
// project's style.
#pragma once

#include <algorithm>
#include <cctype>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lamina::tests {

// The text with comments, literals and preprocessor lines turned into spaces. Lines stay lines.
class CodeOnly {
 public:
  explicit CodeOnly(std::string text) : text_(std::move(text)) {}

  std::string get() && {
    bool line_is_empty = true;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#' && line_is_empty) {
        blank_to(end_of_directive());
      } else if (starts("//")) {
        blank_to(after("\n", at_) - 1);
      } else if (starts("/*")) {
        blank_to(after("*/", at_ + 2));
      } else if (c == '"') {
        blank_to(is_raw_string() ? end_of_raw_string() : end_of_literal());
      } else if (c == '\'' && !is_digit_separator()) {
        blank_to(end_of_literal());
      } else {
        line_is_empty = c == '\n' || (line_is_empty && is_space(c));
        ++at_;
      }
    }
    return std::move(text_);
  }

 private:
  static bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

  bool starts(const char* what) const {
    return text_.compare(at_, std::char_traits<char>::length(what), what) == 0;
  }
  std::size_t after(const std::string& what, std::size_t from) const {
    const std::size_t found = text_.find(what, from);
    return found == std::string::npos ? text_.size() + 1 : found + what.size();
  }
  void blank_to(std::size_t end) {
    for (end = std::min(end, text_.size()); at_ < end; ++at_)
      if (text_[at_] != '\n') text_[at_] = ' ';
  }
  std::size_t end_of_directive() const {
    std::size_t end = after("\n", at_) - 1;
    while (end < text_.size() && text_[end - 1] == '\\') end = after("\n", end + 1) - 1;
    return end;
  }
  std::size_t end_of_literal() const {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != text_[at_]) end += text_[end] == '\\' ? 2 : 1;
    return end + 1;
  }
  // The word that ends just before the position; digits may have separators.
  std::string word_before() const {
    std::size_t start = at_;
    while (start > 0 && (is_word(text_[start - 1]) || text_[start - 1] == '\'')) --start;
    return text_.substr(start, at_ - start);
  }
  bool is_raw_string() const {
    return std::set<std::string>{"R", "LR", "uR", "UR", "u8R"}.contains(word_before());
  }
  std::size_t end_of_raw_string() const {
    const std::size_t parenthesis = text_.find('(', at_);
    if (parenthesis == std::string::npos) return text_.size();
    return after(")" + text_.substr(at_ + 1, parenthesis - at_ - 1) + "\"", parenthesis);
  }
  bool is_digit_separator() const {
    const std::string word = word_before();
    return !word.empty() && std::isdigit(static_cast<unsigned char>(word.front())) != 0;
  }

  std::string text_;
  std::size_t at_ = 0;
};

// "f() : a_{}, b_()" of "template <…> X<…> f(…) : a_{…}, b_(…)": what is left of a declaration without the
// contents of its brackets, up to its initializer.
inline std::string outline(const std::string& declaration) {
  static const std::regex symbols(R"(\boperator\s*(\(\s*\)|\[\s*\]|[^\w\s(]+))"), arrow("->"),
      attributes(R"(\[\[[^\]]*\]\])");
  std::string text = std::regex_replace(declaration, symbols, "operator_");
  text = std::regex_replace(std::regex_replace(text, arrow, " "), attributes, " ");
  std::string result, open;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool closes = !open.empty() && c == open.back();
    if (closes) open.pop_back();
    if (open.empty()) result += c;
    if (open.empty() && c == '=') return result + text.substr(at + 1);
    if (c == '(') open += ')';
    if (c == '[') open += ']';
    if (c == '<' && open.find(')') == std::string::npos) open += '>';
  }
  return std::regex_replace(result, std::regex(R"(^\s*(template\s*<>\s*)+)"), "");
}

enum class Brace { scope, body, initializer };

// What a brace after this declaration, at namespace or class scope, begins.
inline Brace brace_after(const std::string& declaration) {
  static const std::regex linkage(R"(\s*extern\s*)"), keyword(R"(\b(namespace|class|struct|union|enum)\b)"),
      decorated_class(R"(\s*(class|struct|union)[^()]*\(\)[^()]*\w\s*)"),  // struct alignas(16) Name
      lambda(R"(=\s*\[)"), member_initializers(R"(\)[^:]*[^:]:[^:])");
  const std::string text = outline(declaration);
  if (text.find('=') != std::string::npos)
    return std::regex_search(text, lambda) ? Brace::body : Brace::initializer;
  if (std::regex_match(text, linkage) || std::regex_match(text, decorated_class)) return Brace::scope;
  if (text.find('(') == std::string::npos)
    return std::regex_search(text, keyword) ? Brace::scope : Brace::initializer;
  if (!std::regex_search(text, member_initializers)) return Brace::body;
  const char last = text[text.find_last_not_of(" \n\t")];
  return last == ')' || last == '}' ? Brace::body : Brace::initializer;
}

struct Function {
  std::string name;
  std::ptrdiff_t line = 0;   // where its declaration begins, from 1
  std::ptrdiff_t lines = 0;  // to the closing brace
  bool is_test_case() const { return name.find("TEST_CASE") != std::string::npos; }
};

struct Functions {
  std::vector<Function> list;
  bool balanced = true;  // every brace has its counterpart
};

inline std::string function_name(const std::string& declaration) {
  static const std::regex name(R"(([\w~:]+)\s*(<>)?\s*\()");
  const std::string text = outline(declaration);
  std::smatch match;
  return std::regex_search(text, match, name) ? match[1].str() : text.substr(0, text.find('='));
}

// Functions at namespace and class scope; what is inside one counts as its lines.
inline Functions functions_of(const std::string& source) {
  const std::string code = CodeOnly(source).get();
  const auto line_at = [&](std::size_t at) {
    return 1 + std::count(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  };
  static const std::regex access(R"(\s*(public|private|protected)\s*)");
  Functions found;
  std::string declaration;
  std::size_t start = 0;  // of the declaration
  int scopes = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const char c = code[at];
    if (c == '{') {
      const Brace brace = brace_after(declaration);
      if (brace == Brace::scope) {
        ++scopes;
        declaration.clear();
        continue;
      }
      int depth = 1;
      while (depth > 0 && ++at < code.size()) depth += code[at] == '{' ? 1 : code[at] == '}' ? -1 : 0;
      if (depth > 0) return {found.list, false};
      declaration += "{}";
      if (brace == Brace::initializer) continue;
      const std::ptrdiff_t first = line_at(start);
      found.list.push_back({function_name(declaration), first, line_at(at) - first + 1});
      declaration.clear();
    } else if (c == '}') {
      if (--scopes < 0) return {found.list, false};
      declaration.clear();
    } else if (c == ';' || (c == ':' && std::regex_match(declaration, access))) {
      declaration.clear();
    } else if (!declaration.empty() || std::isspace(static_cast<unsigned char>(c)) == 0) {
      if (declaration.empty()) start = at;
      declaration += c;
    }
  }
  found.balanced = scopes == 0;
  return found;
}

}  // namespace lamina::tests
