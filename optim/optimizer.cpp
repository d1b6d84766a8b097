#include "optim/optimizer.h"

#include <algorithm>

#include "optim/engine_cuda.h"

namespace lamina {

namespace {

std::string slot_key(const std::string& slot, const Segment& segment) {
  return "state." + slot + "." + segment.name;
}

const Tensor& expect(const TensorFile& file, const std::string& key, const Shape& shape, DType dtype) {
  const Tensor* tensor = file.find(key);
  check(tensor != nullptr, "optimizer state: {} is missing; was it saved by another optimizer or model?",
        key);
  check(tensor->shape() == shape && tensor->dtype() == dtype, "optimizer state: {} is {}; expected {}{}", key,
        tensor->str(), name_of(dtype), shape.str());
  return *tensor;
}

}  // namespace

std::string TrustRatios::str() const {
  if (layers.empty()) return "no trust ratios";
  const auto [low, high] = std::minmax_element(
      layers.begin(), layers.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return fmt::format("trust {:.2e} ({}) to {:.2e} ({})", low->second, low->first, high->second, high->first);
}

Optimizer::Optimizer(const ParamList& params, const std::vector<std::string>& slots, double lr)
    : arena_(params, slots), lr_(lr), peak_lr_(lr) {
  report_.layers.resize(arena_.segments().size());
}

double Optimizer::lr() const { return schedule_ ? schedule_->lr(steps_) : lr_; }

void Optimizer::step() {
  arena_.check_bound();
  const double peak = schedule_ ? schedule_->peak() : peak_lr_;
  const Step step{.number = steps_ + 1, .lr = lr(), .schedule = peak > 0 ? lr() / peak : 0};
  StepReport report{.step = step.number, .lr = step.lr, .layers = {}};
  run(step, report);
  report_ = std::move(report);
  steps_ = step.number;
  unread_ = cuda_ != nullptr;
}

const StepReport& Optimizer::report() const {
  if (unread_) engine::read_report(arena_, settings_, *cuda_, report_);
  unread_ = false;
  return report_;
}

TrustRatios Optimizer::trust_ratios() const {
  TrustRatios ratios;
  for (std::size_t i = 0; i < settings_.size(); ++i)
    if (settings_[i].adapts) ratios.layers.emplace_back(segments()[i].name, report().layers[i].trust);
  return ratios;
}

void Optimizer::save_state(TensorFile& file) const {
  file.tensors.emplace_back("state.step",
                            Tensor::from(std::vector<std::int32_t>{static_cast<std::int32_t>(steps_)}, {1}));
  for (std::size_t slot = 0; slot < arena_.slot_names().size(); ++slot)
    for (const Segment& segment : segments())
      file.tensors.emplace_back(slot_key(arena_.slot_names()[slot], segment),
                                arena_.segment_of(arena_.slot(slot), segment).to(Device::cpu()).clone());
}

void Optimizer::load_state(const TensorFile& file) {
  const auto& slots = arena_.slot_names();
  const Tensor& step = expect(file, "state.step", {1}, DType::i32);
  for (const std::string& slot : slots)
    for (const Segment& segment : segments())
      expect(file, slot_key(slot, segment), segment.shape, arena_.dtype());

  for (std::size_t slot = 0; slot < slots.size(); ++slot)
    for (const Segment& segment : segments())
      arena_.segment_of(arena_.slot(slot), segment).copy_from(file.at(slot_key(slots[slot], segment)));
  steps_ = step.to_vector<std::int32_t>().front();
}

}  // namespace lamina
