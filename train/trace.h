// The norms and trust ratios of every layer and step. trace.safetensors holds [steps, layers] tensors
// weight_norm, grad_norm, update_norm, ratio, trust and [steps] tensors step, lr, phi; its metadata names the
// layers and their kinds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "optim/optimizer.h"
#include "train/observer.h"

namespace lamina {

class TraceTable {
 public:
  explicit TraceTable(const std::vector<Segment>& segments);

  void add(const StepReport& report);
  TensorFile to_file() const;
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

// Traces a run, into trace.safetensors of its directory with each checkpoint. Where a resumed run has none,
// it begins there.
class Trace final : public Observer {
 public:
  std::string name() const override { return "trace"; }
  void start(const TrainingRun& run) override;
  void step(TrainedStep& step) override { table_->add(step.report); }
  void save() override;

  TensorFile to_file() const;  // what is traced so far, as in the file

 private:
  std::optional<TraceTable> table_;
  std::filesystem::path path_;  // empty: kept in memory alone
};

}  // namespace lamina
