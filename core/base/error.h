// Errors. Every message names the operation, the values seen, what was expected and what to do next.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace lamina {

// Something failed while running: the program ends with exit status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The request itself makes no sense (unknown name, contradictory options): exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

// A device, or a library that drives it, did not do what it was asked.
class DeviceError : public Error {
 public:
  using Error::Error;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

// check(ok, "conv2d: …{}", value): throws Error with the formatted message unless ok.
template <typename... Args>
void check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lamina
