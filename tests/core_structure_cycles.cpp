// No file includes itself, however many files there are in between.
#include <map>

#include "catch.h"
#include "source_tree.h"

namespace lamina::tests {
namespace {

class CycleSearch {
 public:
  explicit CycleSearch(const SourceFiles& files) {
    for (const SourceFile& file : files) files_.emplace(file.path, &file);
  }

  // "a.h -> b.h -> a.h" for each include that closes a cycle.
  Names run() {
    for (const auto& [path, file] : files_) visit(path);
    return found_;
  }

 private:
  void visit(const std::string& path) {
    const auto on_way = std::find(way_.begin(), way_.end(), path);
    if (on_way != way_.end()) {
      std::string cycle;
      for (auto step = on_way; step != way_.end(); ++step) cycle += *step + " -> ";
      found_.insert(cycle + path);
      return;
    }
    if (!seen_.insert(path).second) return;
    way_.push_back(path);
    for (const std::string& header : files_.at(path)->includes()) {
      const std::string beside = path.substr(0, path.rfind('/') + 1) + header;
      if (files_.contains(header)) {
        visit(header);
      } else if (files_.contains(beside)) {
        visit(beside);
      }
    }
    way_.pop_back();
  }

  std::map<std::string, const SourceFile*> files_;
  std::vector<std::string> way_;  // from where the search began to here
  Names seen_, found_;
};

Names include_cycles(const SourceFiles& files) { return CycleSearch(files).run(); }

}  // namespace

TEST_CASE("no file includes itself through others", "[structure]") {
  CHECK(include_cycles(code_files()) == nothing);

  const SourceFile a{"core/a.h", "#include \"core/b.h\"\n"}, b{"core/b.h", "#include \"optim/c.h\"\n"},
      c{"optim/c.h", "#include <core/a.h>\n"},
      alone{"core/d.h", "#include \"core/a.h\"\n#include <vector>\n"};
  CHECK(include_cycles({a, b, alone}) == nothing);
  CHECK(include_cycles({alone, a, b, c}) == Names{"core/a.h -> core/b.h -> optim/c.h -> core/a.h"});
  CHECK(include_cycles({{"tests/e.h", "#include \"e.h\"\n"}}) == Names{"tests/e.h -> tests/e.h"});
}

}  // namespace lamina::tests
