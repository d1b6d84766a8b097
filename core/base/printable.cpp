#include "core/base/printable.h"

#include <fmt/format.h>

namespace lamina {
namespace {

// What one character of UTF-8 looks like: RFC 3629, section 4. The second byte's range keeps out what is
// longer than it need be, surrogates, and numbers beyond U+10FFFF.
struct Utf8Form {
  unsigned char first_from, first_to, second_from, second_to;
  std::size_t length;
};
constexpr Utf8Form utf8_forms[] = {
    {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

bool lies_in(char byte, unsigned char from, unsigned char to) {
  const auto value = static_cast<unsigned char>(byte);
  return value >= from && value <= to;
}

// Bytes of the character that the text, which is not empty, starts with; 0: of none.
std::size_t character_length(std::string_view text) {
  for (const Utf8Form& form : utf8_forms) {
    if (!lies_in(text[0], form.first_from, form.first_to)) continue;
    if (text.size() < form.length) return 0;
    if (form.length > 1 && !lies_in(text[1], form.second_from, form.second_to)) return 0;
    for (std::size_t i = 2; i < form.length; ++i)
      if (!lies_in(text[i], 0x80, 0xBF)) return 0;
    return form.length;
  }
  return 0;
}

bool is_control(std::string_view character) {
  return lies_in(character[0], 0x00, 0x1F) || character[0] == '\x7F' ||
         (character.size() == 2 && character[0] == '\xC2' && lies_in(character[1], 0x80, 0x9F));
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = character_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t length = character_length(bytes);
    const std::string_view next = bytes.substr(0, length == 0 ? 1 : length);
    if (length > 0 && !is_control(next)) {
      text += next;
    } else {
      for (const char byte : next) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    bytes.remove_prefix(next.size());
  }
  return text;
}

std::string printable_lines(std::string_view text) {
  std::string lines;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines += printable(text.substr(0, end)) + '\n';
    text.remove_prefix(end + 1);
  }
  return lines + printable(text);
}

}  // namespace lamina
