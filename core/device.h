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
  // The first GPU if there is one and it can be used, its libraries included; else the CPU, and a note on
  // standard error if there is one that cannot.
  static Device best();
  static Device parse(std::string_view text);  // "cpu", "cuda", "cuda:1"; throws UsageError

  bool operator==(const Device&) const = default;
  std::string str() const;  // the text that parse() reads
};

}  // namespace lamina
