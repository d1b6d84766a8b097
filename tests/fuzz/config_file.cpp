#include "apps/config_file.h"

#include "target.h"

namespace lamina::fuzz {

// --config FILE: every argument is an option.
FUZZ_TARGET(config_file) {
  const std::filesystem::path path = put(empty_folder() / "options.toml", text_of(input));
  std::vector<std::string> arguments;
  if (!accepts([&] { arguments = app::read_config_file(path); })) return;
  for (const std::string& argument : arguments)
    expect(!argument.empty() && (argument.starts_with("--") || argument.find('=') != std::string::npos),
           "options, or settings of knobs");
}

}  // namespace lamina::fuzz
