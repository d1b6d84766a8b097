#include "train/trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file_kind.h"

namespace lamina {

TraceTable::TraceTable(const std::vector<Segment>& segments)
    : columns_{{"weight_norm", [](const LayerReport& l) { return l.weight_norm; }, {}},
               {"grad_norm", [](const LayerReport& l) { return l.grad_norm; }, {}},
               {"update_norm", [](const LayerReport& l) { return l.update_norm; }, {}},
               {"ratio", [](const LayerReport& l) { return l.ratio(); }, {}},
               {"trust", [](const LayerReport& l) { return l.trust; }, {}}} {
  for (const Segment& segment : segments) {
    layers_.push_back(segment.name);
    kinds_.emplace_back(name_of(segment.kind));
  }
}

void TraceTable::add(const StepReport& report) {
  steps_.push_back(static_cast<std::int32_t>(report.step));
  lr_.push_back(static_cast<float>(report.lr));
  phi_.push_back(static_cast<float>(report.phi));
  for (Column& column : columns_) {
    for (const LayerReport& layer : report.layers)
      column.values.push_back(static_cast<float>(column.value(layer)));
  }
}

TensorFile TraceTable::to_file() const {
  const auto steps = static_cast<std::int64_t>(steps_.size());
  const auto layers = static_cast<std::int64_t>(layers_.size());
  TensorFile file;
  file.metadata["layers"] = nlohmann::json(layers_).dump();
  file.metadata["kinds"] = nlohmann::json(kinds_).dump();
  for (const Column& column : columns_) {
    file.tensors.emplace_back(column.name, Tensor::from(column.values, {steps, layers}));
  }
  file.tensors.emplace_back("lr", Tensor::from(lr_, {steps}));
  file.tensors.emplace_back("phi", Tensor::from(phi_, {steps}));
  file.tensors.emplace_back("step", Tensor::from(steps_, {steps}));
  return file;
}

void TraceTable::write(const std::filesystem::path& path) const { write_tensors(path, to_file()); }

void TraceTable::read(const std::filesystem::path& path, std::int64_t last_step) {
  const TensorFile file = read_tensors(path);
  const auto found = file.metadata.find("layers");
  check(found != file.metadata.end() && found->second == nlohmann::json(layers_).dump(),
        "{}: a trace of other layers than this model's", path.string());
  const std::vector<std::int32_t> steps = file.at("step").to_vector<std::int32_t>();
  // One that was removed since begins later than at step 1.
  const auto rows = std::upper_bound(steps.begin(), steps.end(), last_step) - steps.begin();
  check(rows > 0 && steps[static_cast<std::size_t>(rows) - 1] == last_step,
        "{}: ends at step {}, before the checkpoint's {}; remove it to go on with a trace that starts there",
        path.string(), rows > 0 ? steps[static_cast<std::size_t>(rows) - 1] : 0, last_step);
  steps_.assign(steps.begin(), steps.begin() + rows);
  lr_ = file.at("lr").rows(0, rows).to_vector<float>();
  phi_ = file.at("phi").rows(0, rows).to_vector<float>();
  for (Column& column : columns_) column.values = file.at(column.name).rows(0, rows).to_vector<float>();
}

void Trace::start(const TrainingRun& run) {
  run.optimizer.set_tracing(true);
  table_.emplace(run.optimizer.segments());
  if (run.directory.empty()) return;
  path_ = run.directory / "trace.safetensors";
  if (run.position.step > 0 && is_there(path_)) table_->read(path_, run.position.step);
}

void Trace::save() {
  if (!path_.empty()) table_->write(path_);
}

TensorFile Trace::to_file() const {
  check(table_.has_value(),
        "trace: nothing is traced yet; give it to Trainer::observe() and run the trainer");
  return table_->to_file();
}

}  // namespace lamina
