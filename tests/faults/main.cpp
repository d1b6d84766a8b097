// Fails one call on a file after the other, or kills the process there, in every command that reads or writes
// files, and sees to it that nothing goes wrong silently and nothing is lost (verdict.cpp).
//
//   faults LAMINA [--sample N] [--case NAME] [--jobs N] [--list]
//
//   --sample N   about N of the faults, always the same ones
//   --case NAME  of one command alone; "NAME/KIND": and one kind of call
//   --list       only say where faults could strike
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "verdict.h"

namespace lamina::faults {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path program;
  std::size_t sample = 0;
  std::string only;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  bool list = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--list")
      options.list = true;
    else if (argument == "--sample" && has_value)
      options.sample = std::strtoul(argv[++i], nullptr, 10);
    else if (argument == "--case" && has_value)
      options.only = argv[++i];
    else if (argument == "--jobs" && has_value)
      options.jobs = std::max(1u, static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10)));
    else if (!argument.starts_with("-") && options.program.empty())
      options.program = fs::canonical(argument);
    else
      throw std::invalid_argument("usage: faults LAMINA [--sample N] [--case NAME] [--jobs N] [--list]");
  }
  if (options.program.empty()) throw std::invalid_argument("faults: which program?");
  return options;
}

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::canonical(fs::temp_directory_path()) / "lamina-faults-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Every k-th, so that each command, kind and error keeps its share.
std::vector<Injection> sample(const std::vector<Injection>& all, std::size_t count) {
  std::vector<Injection> typical, chosen;
  std::copy_if(all.begin(), all.end(), std::back_inserter(typical),
               [](const Injection& injection) { return is_typical(injection.site); });
  for (std::size_t i = 0; i < std::min(count, typical.size()); ++i)
    chosen.push_back(typical[i * typical.size() / std::min(count, typical.size())]);
  return chosen;
}

struct Count {
  int tried = 0, wrong = 0, not_reached = 0;
};

// Command × fault.
class Table {
 public:
  void add(const std::string& command, const std::string& fault, const Verdict& verdict) {
    for (Count* count : {&counts_[command][fault], &total}) {
      count->tried += verdict.reached;
      count->not_reached += !verdict.reached;
      count->wrong += !verdict.wrong.empty();
    }
  }
  void print() const {
    std::printf("%-12s %-8s %10s %8s\n", "command", "fault", "injections", "failures");
    for (const auto& [command, faults] : counts_)
      for (const auto& [fault, count] : faults)
        std::printf("%-12s %-8s %10d %8d\n", command.c_str(), fault.c_str(), count.tried, count.wrong);
    if (total.not_reached > 0)
      std::printf("%d calls were not made again: the clock decides some writes\n", total.not_reached);
    std::printf("test cases: %d | %d passed | %d failed\n", total.tried, total.tried - total.wrong,
                total.wrong);
  }
  Count total;

 private:
  std::map<std::string, std::map<std::string, Count>> counts_;
};

std::string describe(const Case& c, const Injection& injection) {
  return c.name + ": " + injection.fault.name + " in " + injection.site.kind + " " +
         std::to_string(injection.site.number) + " of " + std::to_string(injection.site.of) + " on " +
         injection.site.path;
}

Table run_all(const std::vector<Case>& cases, const std::vector<Reference>& references,
              const std::vector<Injection>& injections, const Options& options, const fs::path& scratch) {
  Table table;
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  const auto work = [&](unsigned worker) {
    const Laboratory laboratory(options.program, FAULT_SHIM, scratch / ("w" + std::to_string(worker)));
    for (std::size_t i = next++; i < injections.size(); i = next++) {
      const Injection& injection = injections[i];
      const Case& c = cases[injection.tried_on];
      const Verdict verdict = judge(c, references[injection.tried_on], injection, laboratory);
      const std::lock_guard lock(mutex);
      table.add(c.name, injection.fault.name, verdict);
      if (!verdict.wrong.empty())
        std::printf("failed: %s\n  %s\n", describe(c, injection).c_str(), verdict.wrong.c_str());
      std::fflush(stdout);
    }
  };
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < options.jobs; ++i) workers.emplace_back(work, i);
  workers.clear();
  return table;
}

int try_faults(const Options& options) {
  const ScratchFolder scratch;
  const Laboratory laboratory(options.program, FAULT_SHIM, scratch.path() / "reference");
  std::vector<Case> cases = make_cases(options.program, scratch.path());
  const std::string name = options.only.substr(0, options.only.find('/'));
  const std::string kind =
      options.only.find('/') == std::string::npos ? "" : options.only.substr(name.size() + 1);
  if (!name.empty()) std::erase_if(cases, [&](const Case& c) { return c.name != name; });
  std::vector<Reference> references;
  std::vector<Injection> injections;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    std::vector<Site> sites;
    references.push_back(make_reference(cases[i], laboratory, sites));
    for (const Site& site : sites) {
      if (!kind.empty() && site.kind != kind) continue;
      if (options.list)
        std::printf("%s: %s %ld of %ld on %s\n", cases[i].name.c_str(), site.kind.c_str(), site.number,
                    site.of, site.path.c_str());
      for (const Fault& fault : faults_of(site.kind)) injections.push_back({i, site, fault});
    }
  }
  if (options.list) return std::printf("%zu faults\n", injections.size()), 0;
  if (options.sample > 0) injections = sample(injections, options.sample);
  const Table table = run_all(cases, references, injections, options, scratch.path());
  table.print();
  return table.total.wrong == 0 && table.total.tried > 0 ? 0 : 1;
}

}  // namespace
}  // namespace lamina::faults

int main(int argc, char** argv) {
  try {
    return lamina::faults::try_faults(lamina::faults::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "faults: %s\n", error.what());
    return 2;
  }
}
