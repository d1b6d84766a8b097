// Where a tensor lives.
#pragma once

#include <string>
#include <string_view>

namespace lamina {

enum class DeviceType { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;  // which GPU; always 0 on the CPU

  static Device cpu() { return {}; }
  static Device cuda(int index = 0) { return {DeviceType::cuda, index}; }
  static Device best();                        // the first usable GPU, else the CPU
  static Device parse(std::string_view text);  // "cpu", "cuda", "cuda:1"; throws UsageError

  bool operator==(const Device&) const = default;
  std::string str() const;  // the text that parse() reads
};

}  // namespace lamina
