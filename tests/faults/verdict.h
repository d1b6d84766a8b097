// Whether a program did right that met a fault.
#pragma once

#include <filesystem>
#include <string>

#include "cases.h"
#include "sites.h"

namespace lamina::faults {

// What a case comes to without a fault.
struct Reference {
  Tree tree;  // comparable
  std::string out;
};

// Runs the program in a folder of its own.
class Laboratory {
 public:
  Laboratory(std::filesystem::path program, std::filesystem::path shim, std::filesystem::path folder);

  Outcome run(const Arguments& arguments, Environment fault = {}) const;
  std::string take_log() const;  // of the shim, since it was taken last
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path program_, shim_, folder_, log_;
};

// Twice, since nothing could be compared if two runs differed: throws std::runtime_error then.
Reference make_reference(const Case& c, const Laboratory& laboratory, std::vector<Site>& sites);

struct Verdict {
  bool reached = false;  // the call was made again
  std::string wrong;     // empty: nothing
};
Verdict judge(const Case& c, const Reference& reference, const Injection& injection,
              const Laboratory& laboratory);

}  // namespace lamina::faults
