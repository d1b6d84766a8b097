// Reads the machine code of NVIDIA GPUs that nvcc leaves in object files and libraries: what a kernel takes
// of a GPU's resources, and how it loads. The format is ELF with sections of NVIDIA's, as cuobjdump and
// nvdisasm show them; an instruction has 16 bytes since compute capability 7.0.
#pragma once

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/whole_file.h"

namespace lamina::tests {

struct KernelCode {
  std::string name;                        // demangled, with all template arguments
  std::uint32_t registers = 0, stack = 0;  // of a thread; the stack in bytes
  int instructions = 0;
  int spills = 0;                  // loads and stores of local memory
  int wide_loads = 0;              // of 16 bytes
  int wide_loads_first = 0;        // those that stand before the first store
  int arrivals = 0, acquires = 0;  // a barrier of a grid's blocks: an atomic addition; loads begin anew
};

// One file of machine code, for one compute capability.
class Cubin {
 public:
  Cubin(const std::vector<std::uint8_t>& bytes, std::size_t begin) : bytes_(bytes), begin_(begin) {
    const auto entry = at<std::uint16_t>(58), count = at<std::uint16_t>(60), names = at<std::uint16_t>(62);
    for (std::size_t i = 0; i < count; ++i) sections_.push_back(section(at<std::uint64_t>(40) + i * entry));
    for (Section& section : sections_) section.name = text(sections_[names].offset + section.name_offset);
  }

  // 90 for compute capability 9.0
  unsigned capability() const {
    const bool new_format = at<std::uint8_t>(8) >= 8;
    return at<std::uint32_t>(48) >> (new_format ? 8 : 0) & 0xff;
  }

  std::vector<KernelCode> kernels() const {
    constexpr std::uint8_t frame_size = 0x11, register_count = 0x2f;
    const auto stacks = by_symbol(frame_size);
    std::vector<KernelCode> found;
    for (const auto& [symbol, registers] : by_symbol(register_count)) {
      KernelCode kernel{.name = demangled(symbol), .registers = registers};
      if (const auto stack = stacks.find(symbol); stack != stacks.end()) kernel.stack = stack->second;
      for (const Section& section : sections_)
        if (section.name == ".text." + symbol) look_at(section, kernel);
      found.push_back(kernel);
    }
    return found;
  }

 private:
  struct Section {
    std::uint32_t name_offset, link;
    std::uint64_t offset, size;
    std::string name;
  };

  template <typename T>
  T at(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, &bytes_.at(begin_ + offset + sizeof(T) - 1) - (sizeof(T) - 1), sizeof(T));
    return value;
  }
  std::string text(std::uint64_t offset) const {
    return reinterpret_cast<const char*>(&bytes_.at(begin_ + offset));
  }
  Section section(std::uint64_t header) const {
    return {at<std::uint32_t>(header), at<std::uint32_t>(header + 40), at<std::uint64_t>(header + 24),
            at<std::uint64_t>(header + 32), ""};
  }
  const Section& named(std::string_view name) const {
    for (const Section& section : sections_)
      if (section.name == name) return section;
    fail("machine code without a section {}", name);
  }

  // An attribute that .nv.info holds of each kernel: kind, attribute and size, then a symbol and a value.
  std::map<std::string, std::uint32_t> by_symbol(std::uint8_t attribute) const {
    const Section &info = named(".nv.info"), &symbols = named(".symtab"), &names = sections_[symbols.link];
    std::map<std::string, std::uint32_t> values;
    for (std::uint64_t i = info.offset; i < info.offset + info.size;) {
      const bool has_size = at<std::uint8_t>(i) == 4;
      if (has_size && at<std::uint8_t>(i + 1) == attribute) {
        const std::uint64_t symbol = symbols.offset + std::uint64_t{24} * at<std::uint32_t>(i + 4);
        values[text(names.offset + at<std::uint32_t>(symbol))] = at<std::uint32_t>(i + 8);
      }
      i += has_size ? std::uint64_t{4} + at<std::uint16_t>(i + 2) : std::uint64_t{4};
    }
    return values;
  }

  void look_at(const Section& code, KernelCode& kernel) const {
    constexpr std::uint64_t load_global = 0x981, store_global = 0x986, load_local = 0x983,
                            store_local = 0x387, atomic = 0x98a, drop_cached = 0x98f;
    constexpr std::uint64_t sixteen_bytes = 6;
    bool stored = false;
    for (std::uint64_t i = code.offset; i < code.offset + code.size; i += 16) {
      const std::uint64_t operation = at<std::uint64_t>(i) & 0xfff, size = at<std::uint64_t>(i + 8) >> 9 & 7;
      const bool is_wide = operation == load_global && size == sixteen_bytes;
      stored = stored || operation == store_global;
      kernel.instructions += 1;
      kernel.spills += operation == load_local || operation == store_local;
      kernel.wide_loads += is_wide;
      kernel.wide_loads_first += is_wide && !stored;
      kernel.arrivals += operation == atomic;
      kernel.acquires += operation == drop_cached;
    }
  }

  static std::string demangled(const std::string& symbol) {
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, nullptr), std::free);
    return name ? name.get() : symbol;
  }

  const std::vector<std::uint8_t>& bytes_;
  std::size_t begin_;
  std::vector<Section> sections_;
};

// The kernels in a file for this compute capability; none if nvcc has compressed them.
inline std::vector<KernelCode> kernels_in(const std::string& path, unsigned capability) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view elf =
      "\x7f"
      "ELF";
  constexpr std::uint8_t nvidia = 190;
  std::vector<KernelCode> kernels;
  for (std::size_t i = all.find(elf); i != all.npos; i = all.find(elf, i + 1)) {
    if (i + 64 > bytes.size() || bytes[i + 18] != nvidia) continue;
    const Cubin cubin(bytes, i);
    if (cubin.capability() != capability) continue;
    for (KernelCode& kernel : cubin.kernels()) kernels.push_back(std::move(kernel));
  }
  return kernels;
}

}  // namespace lamina::tests
