#include "layers/foreign_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/error.h"

namespace lamina {
namespace {

// "module.backbone." of module.backbone.conv1.weight and module.backbone.bn1.bias
std::string shared_prefix(const TensorFile& file) {
  if (file.tensors.size() < 2) return "";
  const std::string& first = file.tensors.front().first;
  std::size_t shared = first.size();
  for (const auto& [name, tensor] : file.tensors) {
    const std::size_t most = std::min(shared, name.size());
    shared = static_cast<std::size_t>(
        std::mismatch(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(most), name.begin()).first -
        first.begin());
  }
  return first.substr(0, first.rfind('.', shared == 0 ? 0 : shared - 1) + 1);
}

TensorFile without_prefix(const TensorFile& file, const std::string& prefix,
                          std::vector<std::string>& notes) {
  if (prefix.empty()) return file;
  notes.push_back(fmt::format("all names begin with {}: taken off", prefix));
  TensorFile renamed{.tensors = {}, .metadata = file.metadata};
  for (const auto& [name, tensor] : file.tensors)
    renamed.tensors.emplace_back(name.substr(prefix.size()), tensor);
  for (const std::string& name : file.as_i64) renamed.as_i64.insert(name.substr(prefix.size()));
  return renamed;
}

bool is_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return true;
  const auto all_finite = [](const auto& values) {
    return std::all_of(values.begin(), values.end(), [](auto value) { return std::isfinite(value); });
  };
  return tensor.dtype() == DType::f64 ? all_finite(tensor.to_vector<double>())
                                      : all_finite(tensor.to_vector<float>());
}

}  // namespace

TensorFile without_shared_prefix(const TensorFile& file, std::vector<std::string>& notes) {
  return without_prefix(file, shared_prefix(file), notes);
}

TensorFile named_like(const ParamList& state, const TensorFile& file, std::vector<std::string>& notes) {
  std::set<std::string> names;
  for (const auto& param : state) names.insert(param->name);
  const auto any_fits = [&](std::size_t cut) {
    return std::any_of(file.tensors.begin(), file.tensors.end(),
                       [&](const auto& tensor) { return names.contains(tensor.first.substr(cut)); });
  };
  const std::string prefix = shared_prefix(file);
  for (std::size_t cut = 0; cut <= prefix.size(); cut = prefix.find('.', cut) + 1) {
    if (any_fits(cut)) return without_prefix(file, prefix.substr(0, cut), notes);
    if (cut == prefix.size()) break;
  }
  return file;
}

double stored_count(const Tensor& stored, const std::string& what) {
  const double count = stored.item();
  check(count >= 0 && count <= std::numeric_limits<std::int32_t>::max() && count == std::floor(count),
        "{} is {}: expected a whole number, of batches or masks; a file without it counts as 0", what, count);
  return count;
}

void check_finite(const TensorFile& file, const std::string& source) {
  for (const auto& [name, tensor] : file.tensors) {
    check(is_finite(tensor),
          "{}: {} holds values that are not finite, as a training that diverged leaves them: the weights are "
          "of no use",
          source, name);
  }
}

}  // namespace lamina
