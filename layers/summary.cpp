#include "layers/summary.h"

#include "core/autograd.h"

namespace lamina {

namespace {

std::int64_t parameter_count(const Module& module) {
  std::int64_t count = 0;
  for (const auto& param : module.parameters()) count += param->value.elements();
  return count;
}

// 1234567 -> "1,234,567"
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, 1, ',');
  return text;
}

}  // namespace

ModelSummary summary(Module& module, const Shape& input) {
  const ParamList params = module.parameters();
  const TensorOptions options = params.empty() ? TensorOptions{} : params.front()->value.options();
  check(input.rank() >= 1 && input[0] >= 1, "summary: input {}: expected a batch of at least one image",
        input.str());
  ModelSummary result;
  const NoGrad no_grad;
  const EvalMode eval_mode(module);
  const ForwardObserver observer([&](const Module& layer, const Tensor& x, const Tensor& y) {
    if (!layer.children().empty()) return;
    result.layers.push_back({.name = layer.path(),
                             .kind = layer.kind(),
                             .output = y.shape(),
                             .parameters = parameter_count(layer),
                             .multiply_adds = layer.multiply_adds(x.shape(), y.shape()) / input[0]});
  });
  module(Tensor::zeros(input, options));
  result.parameters = parameter_count(module);
  for (const LayerSummary& layer : result.layers) result.multiply_adds += layer.multiply_adds;
  return result;
}

std::string ModelSummary::str() const {
  std::size_t name_width = 5;
  std::size_t kind_width = 4;
  std::size_t shape_width = 6;
  for (const LayerSummary& layer : layers) {
    name_width = std::max(name_width, layer.name.size());
    kind_width = std::max(kind_width, layer.kind.size());
    shape_width = std::max(shape_width, layer.output.str().size());
  }
  const auto row = [&](const std::string& name, const std::string& kind, const std::string& shape,
                       const std::string& count, const std::string& work) {
    return fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>12}  {:>15}\n", name, name_width, kind, kind_width, shape,
                       shape_width, count, work);
  };
  std::string text = row("layer", "kind", "output", "parameters", "MACs per image");
  for (const LayerSummary& layer : layers) {
    text +=
        row(layer.name, layer.kind, layer.output.str(), layer.parameters ? grouped(layer.parameters) : "-",
            layer.multiply_adds ? grouped(layer.multiply_adds) : "-");
  }
  return text + row("total", "", "", grouped(parameters), grouped(multiply_adds));
}

}  // namespace lamina
