#include "core/base/name_pattern.h"

#include "target.h"

namespace lamina::fuzz {
namespace {

// As the definition says.
bool matches_by_definition(std::string_view name, std::string_view pattern) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] != '*')
    return !name.empty() && name[0] == pattern[0] && matches_by_definition(name.substr(1), pattern.substr(1));
  for (std::size_t i = 0; i <= name.size(); ++i)
    if (matches_by_definition(name.substr(i), pattern.substr(1))) return true;
  return false;
}

}  // namespace

FUZZ_TARGET(name_pattern) {
  const std::vector<std::string> pieces = pieces_of(input, 2);
  const std::string &name = pieces[0], &pattern = pieces[1];
  if (name.size() > 12 || pattern.size() > 12) return;  // the definition takes exponential time
  expect(matches(name, pattern) == matches_by_definition(name, pattern),
         "the definition and matches() agree");
  accepts([&] {
    expect(nearest_matches(pattern, {name, "fc.bias"}, 1).size() == 1, "there is a nearest one");
  });
}

}  // namespace lamina::fuzz
