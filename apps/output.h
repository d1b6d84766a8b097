// What commands print. Names come from files and from disks: what a terminal would obey in them is shown as
// \xNN.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/note.h"
#include "core/base/printable.h"

namespace lamina::app {

// Results, for which the command was called, on standard output. check_output() tells whether they got there.
void print_result_text(std::string_view text);
template <typename... Args>
void print_result(fmt::format_string<Args...> format, const Args&... args) {
  print_result_text(fmt::vformat(format, fmt::make_format_args(args...)));
}
// JSON on standard output, and a line's end. Names that are not UTF-8, which JSON cannot hold, have
// replacement characters.
void print_result_json(const nlohmann::json& json, int indent = -1);
void print_result_json_text(std::string_view json);

// Throws Error if results are lost: the disk is full, the reader has gone. main() calls it at the end.
void check_output();

// Progress and results beside files, which may be lost as notes may.
template <typename... Args>
void print_note(std::FILE* stream, fmt::format_string<Args...> format, const Args&... args) {
  write_note(stream, printable_lines(fmt::vformat(format, fmt::make_format_args(args...))));
}

}  // namespace lamina::app
