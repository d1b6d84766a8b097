// What the environment asks of the shim, and which call it is to hit.
//
//   FAULT_PROGRAM  the executable that is meant; what it starts, gnuplot say, is left alone
//   FAULT_FOLDER   the folder whose files count
//   FAULT_LOG      gets "KIND PATH" for each call that counts, or for the one that was struck
//   FAULT_KIND, FAULT_PATH, FAULT_NUMBER   which call: of that kind and path, the how-many-th; none: only log
//   FAULT_ERROR    an errno by number; "short": half of the bytes; "full": from now on nothing can be
//   written;
//                  "kill": the process is killed before the call; "torn": after half of its bytes
#pragma once

#include <string>

namespace lamina::faults {

enum class Strike { none, fail, shorten, tear };

// What is to become of a call on a file; errno is set where it is to fail.
Strike strike(const char* kind, const std::string& path);
inline bool fails(const char* kind, const std::string& path) { return strike(kind, path) == Strike::fail; }

std::string absolute(int directory, const char* path);
std::string path_of(int descriptor);

}  // namespace lamina::faults
