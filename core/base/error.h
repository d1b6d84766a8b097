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

// What a message shows of a value. Types whose text is long or takes time have an overload beside them, which
// only a message that is written calls.
template <typename T>
const T& in_message(const T& value) {
  return value;
}

template <typename... Args>
std::string message(fmt::string_view format, const Args&... args) {
  return [format](const auto&... shown) {
    return fmt::vformat(format, fmt::make_format_args(shown...));
  }(in_message(args)...);
}

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(message(format, args...));
}

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(message(format, args...));
}

// check(ok, "conv2d: …{}", x): throws Error with the formatted message unless ok. Hand over tensors and
// shapes as they are: they become text only if it fails.
template <typename... Args>
void check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) fail<Args...>(format, std::forward<Args>(args)...);
}

}  // namespace lamina
