// A fuzz target: what a parser must do with any bytes at all. Built with libFuzzer (libfuzzer.cpp) each is a
// program of its own; in the ordinary tests one program (seeds.cpp) runs all of them over their seeds.
//
//   FUZZ_TARGET(csv) { … input … }
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace lamina::fuzz {

using Input = std::span<const std::uint8_t>;
using Target = void (*)(Input input);

std::map<std::string, Target>& targets();  // by name

struct Registered {
  Registered(const char* name, Target target) { targets()[name] = target; }
};

#define FUZZ_TARGET(name)                                                      \
  static void fuzz_##name(lamina::fuzz::Input input);                          \
  static const lamina::fuzz::Registered registered_##name(#name, fuzz_##name); \
  static void fuzz_##name([[maybe_unused]] lamina::fuzz::Input input)

inline long accepted = 0;  // inputs that a parser took, so that a target that reaches none is seen

// False if the parser refuses, with an Error. Any other exception ends the program, as a crash does.
template <typename Parse>
bool accepts(const Parse& parse) {
  try {
    parse();
    ++accepted;
    return true;
  } catch (const Error&) {
    return false;
  }
}

// What a target claims beyond that: ends the program unless it holds.
void expect(bool holds, const char* claim);

std::string text_of(Input input);
// The input as texts: the pieces between bytes of 0, as many as are asked for; the last has the rest.
std::vector<std::string> pieces_of(Input input, std::size_t count);

// In a folder of the process, emptied whenever it is asked for, and removed at the end.
std::filesystem::path empty_folder();
std::filesystem::path put(const std::filesystem::path& path, std::string_view contents);

}  // namespace lamina::fuzz
