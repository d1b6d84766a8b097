// The text of the Error that an action throws, and what it lacks.
#pragma once

#include <initializer_list>
#include <string>

#include "core/base/error.h"

namespace lamina::tests {

template <typename Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

// "nothing" if the action throws an Error that mentions every part, as in
// CHECK(unexplained([&] { … }, {"conv2d", "[4, 3]"}) == "nothing").
template <typename Action>
std::string unexplained(const Action& action, std::initializer_list<const char*> parts) {
  const std::string message = message_of(action);
  for (const char* part : parts)
    if (message.find(part) == std::string::npos) return fmt::format("\"{}\" is not in: {}", part, message);
  return "nothing";
}

}  // namespace lamina::tests
