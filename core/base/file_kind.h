// What lies under a name: absent, a file, a directory, or something that must not be opened. What cannot be
// looked at is an error, never absent.
#pragma once

#include <filesystem>

#include "core/base/error.h"

namespace lamina {

// The system did not let a file be looked at or read: what is in it is not known.
class ReadError : public Error {
 public:
  using Error::Error;
};

// Links are followed. not_found only if there is nothing of that name. Throws ReadError, naming the path, for
// a link into nothing or in a circle, and for what the system does not let be looked at.
std::filesystem::file_type kind_at(const std::filesystem::path& path);

// Whether there is anything of that name. Throws as kind_at() does, where std::filesystem::exists() says no.
bool is_there(const std::filesystem::path& path);

// "a file", "a directory", "a FIFO (named pipe)", "a socket", "a device"
const char* kind_name(std::filesystem::file_type kind);

}  // namespace lamina
