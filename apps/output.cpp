#include "apps/output.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/error.h"
#include "core/base/printable.h"

namespace lamina::app {
namespace {

int write_error = 0;  // errno of the first failure

void write_result(std::string_view text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written && write_error == 0) write_error = errno;
}

}  // namespace

void print_result_text(std::string_view text) { write_result(printable_lines(text)); }

void print_result_json(const nlohmann::json& json, int indent) {
  print_result_json_text(json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace));
}

// JSON leaves DEL and the controls of U+0080 to U+009F as they are; they are within strings, if anywhere.
void print_result_json_text(std::string_view json) {
  std::string text;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto byte = static_cast<unsigned char>(json[i]);
    const auto next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : 0);
    if (byte == 0x7F) {
      text += "\\u007f";
    } else if (byte == 0xC2 && next < 0xA0) {
      text += fmt::format("\\u{:04x}", next);
      ++i;
    } else {
      text += json[i];
    }
  }
  write_result(text + "\n");
}

void check_output() {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (!flushed && write_error == 0) write_error = errno;
  check(flushed && std::ferror(stdout) == 0, "standard output: not everything could be written: {}",
        std::generic_category().message(write_error));
}

}  // namespace lamina::app
