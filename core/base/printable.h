// Names are bytes: those of files, classes and columns come from other people's disks.
#pragma once

#include <string>
#include <string_view>

namespace lamina {

// Whether the bytes are well-formed UTF-8 (RFC 3629): what JSON, and so every file that Lamina writes, can
// hold.
bool is_utf8(std::string_view bytes);

// The text with control characters (of Unicode's C1 block, too) and bytes that are not UTF-8 as \xNN: safe to
// print, since a terminal would obey an escape sequence, and to put into JSON.
std::string printable(std::string_view bytes);
// The same, but for line ends.
std::string printable_lines(std::string_view text);

}  // namespace lamina
