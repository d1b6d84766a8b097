// What messages call an option. A library's options are members of structs, a program's are flags.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lamina {

// The name as in code, "micro_batch", or what the program made of it, "--micro-batch".
std::string option_name(std::string_view name);

// Whether the command at hand has the option: advice names no others. In a program that has not said so, all.
bool has_option(std::string_view name);

// For programs, once at their start, and once it is known what is asked for.
void set_option_names(std::function<std::string(std::string_view)> name_of);
void set_offered_options(std::function<bool(std::string_view)> has);

}  // namespace lamina
