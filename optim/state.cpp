#include "optim/state.h"

namespace lamina {

namespace {

std::string step_key(const std::string& prefix) { return prefix + "state.step"; }

std::string slot_key(const std::string& prefix, const std::string& slot, const Segment& segment) {
  return prefix + "state." + slot + "." + segment.name;
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

void save_state(const Optimizer& optimizer, TensorFile& file, const std::string& prefix) {
  check(!file.contains(step_key(prefix)),
        "save_state: the file has {} of another optimizer already; give each a prefix of its own",
        step_key(prefix));
  const Arena& arena = optimizer.arena();
  const auto steps = static_cast<std::int32_t>(optimizer.steps());
  file.tensors.emplace_back(step_key(prefix), Tensor::from(std::vector<std::int32_t>{steps}, {1}));
  for (std::size_t slot = 0; slot < arena.slot_names().size(); ++slot)
    for (const Segment& segment : arena.segments())
      file.tensors.emplace_back(slot_key(prefix, arena.slot_names()[slot], segment),
                                arena.segment_of(arena.slot(slot), segment).to(Device::cpu()).clone());
}

void load_state(Optimizer& optimizer, const TensorFile& file, const std::string& prefix) {
  const Arena& arena = optimizer.arena();
  const Tensor& step = expect(file, step_key(prefix), {1}, DType::i32);
  for (const std::string& slot : arena.slot_names())
    for (const Segment& segment : arena.segments())
      expect(file, slot_key(prefix, slot, segment), segment.shape, arena.dtype());

  for (std::size_t slot = 0; slot < arena.slot_names().size(); ++slot)
    for (const Segment& segment : arena.segments())
      arena.segment_of(arena.slot(slot), segment)
          .copy_from(file.at(slot_key(prefix, arena.slot_names()[slot], segment)));
  optimizer.set_steps(step.to_vector<std::int32_t>().front());
}

}  // namespace lamina
