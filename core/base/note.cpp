#include "core/base/note.h"

#include <stdio_ext.h>

#include <atomic>

#include "core/base/printable.h"

namespace lamina {
namespace {

std::atomic<bool> silent{false};

}  // namespace

void write_note(std::FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  if (std::fflush(stream) == 0 && std::ferror(stream) == 0) return;
  __fpurge(stream);  // or each later line would be tried together with all before it
  std::clearerr(stream);
}

void silence_notes() { silent = true; }

void note_text(std::string_view text) {
  if (silent) return;
  write_note(stderr, printable_lines(fmt::format("note: {}\n", text)));
}

}  // namespace lamina
