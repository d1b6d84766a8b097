#include "sites.h"

#include <map>
#include <sstream>

namespace lamina::faults {
namespace {

// Numbers and words of Linux and its C library. Every caller must go on after EINTR, but for open(): Linux
// repeats that by itself on a file system of its own.
constexpr Fault eio{"EIO", "5", "Input/output error"}, eacces{"EACCES", "13", "Permission denied"},
    enospc{"ENOSPC", "28", "No space left on device"}, emfile{"EMFILE", "24", "Too many open files"},
    enomem{"ENOMEM", "12", "Cannot allocate memory"}, eintr{"EINTR", "4", ""},
    unopened{"EINTR", "4", "Interrupted system call"}, shortened{"short", "short", ""},
    full{"full", "full", "No space left on device"}, killed{"kill", "kill", ""}, torn{"torn", "torn", ""};

}  // namespace

const std::vector<Fault>& faults_of(const std::string& kind) {
  static const std::map<std::string, std::vector<Fault>> faults{
      {"open", {eacces, emfile, eio, unopened, killed}},
      {"read", {eio, eintr, shortened}},
      {"write", {enospc, eio, full, eintr, shortened, killed, torn}},
      {"fsync", {eio, enospc, eintr, killed}},
      {"truncate", {eio, killed}},
      {"rename", {eio, eacces, enospc, killed}},
      {"close", {eio, enospc, eintr}},
      {"mkdir", {eacces, enospc, killed}},
      {"unlink", {eacces, eio, killed}},
      {"mmap", {enomem, eacces}},
      {"opendir", {eacces, emfile, eio}},
      {"readdir", {eio}},
      {"stat", {eacces, eio}}};
  return faults.at(kind);
}

std::vector<Site> read_sites(const std::string& log) {
  std::vector<Site> sites;
  std::map<std::pair<std::string, std::string>, long> counts;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    Site site{.kind = line.substr(0, space), .path = line.substr(space + 1)};
    site.number = ++counts[{site.kind, site.path}];
    sites.push_back(site);
  }
  for (Site& site : sites) site.of = counts[{site.kind, site.path}];
  return sites;
}

bool is_typical(const Site& site) {
  return site.number == 1 || site.number == site.of || site.number == (site.of + 1) / 2;
}

}  // namespace lamina::faults
