#include "optim/optimizer.h"

#include <algorithm>
#include <utility>

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
  reports_.emplace_back().layers.resize(arena_.segments().size());
}

double Optimizer::lr() const { return schedule_ ? schedule_->lr(steps_) : lr_; }

void Optimizer::prepare_step() {
  arena_.check_bound();
  if (cuda_ != nullptr && std::ssize(cuda_->unread) == reports_kept) read_reports();
  throw_failure();
  const double peak = schedule_ ? schedule_->peak() : peak_lr_;
  step_ = {.number = steps_ + 1, .lr = lr(), .schedule = peak > 0 ? lr() / peak : 0};
  next_ = {.step = step_.number, .lr = step_.lr, .layers = {}};
  prepare(step_, next_);
  if (cuda_ != nullptr) steps_ = step_.number;
}

// On a GPU this may be recorded: nothing that the host keeps may change.
void Optimizer::apply_step() {
  apply(step_, next_);
  if (cuda_ != nullptr) return;
  steps_ = step_.number;
  add(std::move(next_));
}

void Optimizer::add(StepReport report) const {
  reports_.push_back(std::move(report));
  if (std::ssize(reports_) > reports_kept) reports_.pop_front();
  untaken_ = std::min(untaken_ + 1, reports_.size());
}

void Optimizer::read_reports() const {
  if (cuda_ == nullptr) return;
  std::vector<StepReport> reports;
  try {
    engine::read_reports(arena_, settings_, *cuda_, reports);
  } catch (const Error&) {
    failure_ = std::current_exception();
  }
  for (StepReport& report : reports) add(std::move(report));
  if (failure_ != nullptr) steps_ = reports_.back().step;
}

void Optimizer::throw_failure() const {
  if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
}

const StepReport& Optimizer::report() const {
  read_reports();
  throw_failure();
  return reports_.back();
}

std::vector<StepReport> Optimizer::take_reports() {
  read_reports();
  if (untaken_ == 0) throw_failure();
  std::vector<StepReport> taken(reports_.end() - static_cast<std::ptrdiff_t>(std::exchange(untaken_, 0)),
                                reports_.end());
  return taken;
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
