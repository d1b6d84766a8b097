#include "core/device.h"

#include <charconv>
#include <cstdio>

#include "core/backend.h"
#include "core/base/error.h"

namespace lamina {

Device Device::best() {
  if (cuda_device_count() == 0) return cpu();
  static const std::string obstacle = [] {
    std::string found = cuda_obstacle(0);
    if (!found.empty()) std::fprintf(stderr, "lamina: computing on the CPU: %s\n", found.c_str());
    return found;
  }();
  return obstacle.empty() ? cuda() : cpu();
}

Device Device::parse(std::string_view text) {
  if (text == "cpu") return cpu();
  if (text == "cuda") return cuda();
  if (text.starts_with("cuda:")) {
    const std::string_view digits = text.substr(5);
    int index = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error == std::errc{} && end == digits.data() + digits.size() && index >= 0) return cuda(index);
  }
  fail_usage("device: \"{}\" is not one; expected cpu, cuda or cuda:INDEX", text);
}

std::string Device::str() const {
  if (type == DeviceType::cpu) return "cpu";
  return index == 0 ? "cuda" : fmt::format("cuda:{}", index);
}

}  // namespace lamina
