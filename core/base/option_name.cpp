#include "core/base/option_name.h"

#include <utility>

namespace lamina {
namespace {

std::function<std::string(std::string_view)>& naming() {
  static std::function<std::string(std::string_view)> function;
  return function;
}

std::function<bool(std::string_view)>& offer() {
  static std::function<bool(std::string_view)> function;
  return function;
}

}  // namespace

std::string option_name(std::string_view name) { return naming() ? naming()(name) : std::string(name); }

void set_option_names(std::function<std::string(std::string_view)> name_of) { naming() = std::move(name_of); }

bool has_option(std::string_view name) { return !offer() || offer()(name); }

void set_offered_options(std::function<bool(std::string_view)> has) { offer() = std::move(has); }

}  // namespace lamina
