// Notes: what may not be meant, or could not be done, while the work goes on.
#pragma once

#include <cstdio>
#include <string_view>

#include "core/base/error.h"

namespace lamina {

// Writes the text as it is. Where it cannot be written it is lost, and what it tells of goes on.
void write_note(std::FILE* stream, std::string_view text);

// From here on notes are not written: another process of the same work writes them.
void silence_notes();

// "note: TEXT" in a line on standard error, in which names are printable.
void note_text(std::string_view text);
template <typename... Args>
void note(fmt::format_string<Args...> format, const Args&... args) {
  note_text(message(format, args...));
}

}  // namespace lamina
