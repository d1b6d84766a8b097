#include "compare/sharpness_file.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "compare/measured_curvature.h"
#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/whole_file.h"

namespace lamina::compare {
namespace {

double number_in(const nlohmann::json& object, const char* name) {
  return object.contains(name) ? number_from_json(object.at(name)) : std::nan("");
}

std::vector<double> numbers_in(const nlohmann::json& object, const char* name) {
  std::vector<double> numbers;
  for (const nlohmann::json& number : object.at(name)) numbers.push_back(number_from_json(number));
  return numbers;
}

std::optional<std::int64_t> count_at(const nlohmann::json& object, const char* name) {
  return whole_number<std::int64_t>(object.value(name, nlohmann::json()));
}

// Weights are parts of a whole.
std::vector<std::pair<double, double>> density_in(const nlohmann::json& object) {
  std::vector<std::pair<double, double>> nodes;
  for (const nlohmann::json& node : object.value("density", nlohmann::json::array())) {
    const double value = number_from_json(node.at(0)), weight = number_from_json(node.at(1));
    // Beyond that differences of values are not finite; weights are sums of squares, rounded.
    check(std::abs(value) < 1e300 && weight >= 0 && weight <= 1 + 1e-6,
          "\"density\" holds the node {}; expected a finite value and a weight from 0 to 1", node.dump());
    nodes.emplace_back(value, weight);
  }
  return nodes;
}

SharpnessFile sharpness_from_json(const nlohmann::json& object) {
  SharpnessFile found;
  found.way = describe_curvature(object.at("bn").get<std::string>(), count_at(object, "samples"));
  found.split = object.value("split", "");
  found.epoch = count_at(object, "epoch");
  found.parameters = count_at(object, "parameters");
  found.converged = object.value("converged", true);
  found.eigenvalues = numbers_in(object, "eigenvalues");
  found.residuals = numbers_in(object, "residuals");
  check(!found.eigenvalues.empty() && found.eigenvalues.size() == found.residuals.size(),
        "{} eigenvalues and {} residuals; expected as many of both", found.eigenvalues.size(),
        found.residuals.size());
  found.smallest = number_in(object, "smallest");
  found.smallest_residual = number_in(object, "smallest_residual");
  found.trace = found.trace_error = std::nan("");
  if (object.contains("trace")) {
    found.trace = number_from_json(object.at("trace").at("mean"));
    found.trace_error = number_from_json(object.at("trace").at("stderr"));
  }
  found.frobenius = number_in(object, "frobenius");
  found.density = density_in(object);
  return found;
}

}  // namespace

SharpnessFile read_sharpness(const std::filesystem::path& path) {
  const nlohmann::json object = nlohmann::json::parse(read_text(path), nullptr, /*allow_exceptions=*/false);
  check(object.is_object(), "{}: not a JSON object; expected what lamina sharpness writes", path.string());
  try {
    return sharpness_from_json(object);
  } catch (const nlohmann::json::exception& error) {
    fail("{}: not what lamina sharpness writes: {}", path.string(), error.what());
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

}  // namespace lamina::compare
