// What --trace records: per step and layer the norms and the trust ratio, per step the learning rate and phi.
// trace.safetensors holds [steps, layers] tensors weight_norm, grad_norm, update_norm, ratio, trust and
// [steps] tensors step, lr, phi; its metadata names the layers and their kinds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace lamina {

class Trace {
 public:
  explicit Trace(const std::vector<Segment>& segments);

  void add(const StepReport& report);
  void write(const std::filesystem::path& path) const;  // durably; throws Error
  // Takes up an earlier trace, through step `last_step`. Throws Error if it is of other layers or too short.
  void read(const std::filesystem::path& path, std::int64_t last_step);

 private:
  struct Column {
    const char* name;
    double (*value)(const LayerReport&);
    std::vector<float> values;  // [steps, layers]
  };
  std::vector<std::string> layers_, kinds_;
  std::vector<Column> columns_;
  std::vector<std::int32_t> steps_;
  std::vector<float> lr_, phi_;
};

}  // namespace lamina
