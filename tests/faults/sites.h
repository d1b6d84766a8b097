// Where faults can strike: every call that a command makes, as the shim records them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lamina::faults {

struct Site {
  std::string kind, path;  // as in strike.h
  long number = 0;         // of the calls of that kind on that path, from 1
  long of = 0;             // how many there are
};

std::vector<Site> read_sites(const std::string& log);

struct Fault {
  const char* name;    // "ENOSPC"
  const char* value;   // FAULT_ERROR of strike.h
  const char* reason;  // what a message must say; empty: the process is killed, or the call is to be repeated
  bool kills() const { return *reason == '\0' && (name[0] == 'k' || name[0] == 't'); }
  bool harmless() const { return *reason == '\0' && !kills(); }  // callers must cope
};

struct Injection {
  std::size_t tried_on = 0;  // index of the case
  Site site;
  Fault fault{};
};

// Every fault that a call of that kind can meet.
const std::vector<Fault>& faults_of(const std::string& kind);

// Of the calls of one kind on one path the first, the middle and the last.
bool is_typical(const Site& site);

}  // namespace lamina::faults
