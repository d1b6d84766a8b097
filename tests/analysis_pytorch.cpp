// Products with the Hessians of whole ResNets, and their eigenvalues, against PyTorch's double backward and
// SciPy's eigsh (tests/peers/make_hessian_golden.py).
#include <fstream>
#include <nlohmann/json.hpp>

#include "analysis/eigenvalues.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "core/backend.h"
#include "hashed_net.h"
#include "layers/resnet.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using nlohmann::json;

json golden_cases() {
  std::ifstream file(LAMINA_SOURCE_DIR "/tests/golden/hessian_pytorch.json");
  return json::parse(file).at("cases");
}

void set_statistics(const Module& net) {
  std::uint32_t stream = 500;
  for (const auto& param : net.state()) {
    if (param->kind != ParamKind::buffer || !is_floating(param->value.dtype())) continue;
    std::vector<double> values(static_cast<std::size_t>(param->value.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double u = signed_unit(static_cast<std::uint32_t>(i), stream % 250);
      values[i] = param->name.ends_with("mean") ? 0.1 * u : 1 + 0.3 * u;
    }
    param->value.copy_from(cast(Tensor::from(values, param->value.shape()), param->value.dtype()));
    ++stream;
  }
}

// A vector of parameter space from elements in the file layout.
Tensor hashed_vector(const analysis::LossSurface& surface, const Module& net) {
  const Tensor vector = Tensor::zeros({surface.size()}, {.dtype = surface.dtype()});
  std::uint32_t stream = 100;
  std::int64_t at = 0;
  for (const auto& param : net.parameters()) {
    std::vector<double> values(static_cast<std::size_t>(param->value.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = signed_unit(static_cast<std::uint32_t>(i), stream);
    const Tensor piece = from_file_layout(*param, Tensor::from(values, to_file_layout(*param).shape()));
    Tensor there = vector.flat(at, piece.shape());
    there.copy_from(piece);
    at += piece.elements();
    ++stream;
  }
  return vector;
}

struct Case {
  Case(const json& expected, DType dtype)
      : net(resnet(expected["model"].get<std::string>(), {.shortcut = Shortcut::A, .dtype = dtype})),
        objective(net) {
    set_weights(net);
    set_statistics(net);
    const std::int64_t n = expected["batch"];
    std::vector<std::int32_t> labels;
    for (std::uint32_t i = 0; i < n; ++i) labels.push_back(static_cast<std::int32_t>(hash32(i, 201) % 10));
    data::Part part{.views = {make_images(static_cast<int>(n), expected["size"], dtype)},
                    .labels = Tensor::from(labels, {n}),
                    .batch_samples = n};
    const bool train = expected["mode"] == "train";
    surface.emplace(objective, std::vector{part},
                    train ? analysis::BatchNormMode::train : analysis::BatchNormMode::eval);
  }

  ResNet net;
  Classification objective;
  std::optional<analysis::LossSurface> surface;
};

double relative(double a, double b) { return std::abs(a - b) / std::abs(b); }

// ‖Hv − theirs‖/‖Hv‖ by the norms and elements that are kept of each parameter.
double worst_of_parameters(const Case& of, const json& expected, const Tensor& product) {
  double worst = 0;
  std::int64_t at = 0;
  std::uint32_t stream = 0;
  for (const auto& param : of.net.parameters()) {
    const Tensor piece = product.flat(at, param->value.shape()).clone();
    worst = std::max(worst, worst_difference(describe(*param, piece, stream), expected["parameters"][stream],
                                             expected["norm"].get<double>()));
    at += piece.elements();
    ++stream;
  }
  return worst;
}

}  // namespace

TEST_CASE("products with the Hessians of ResNet-8 and ResNet-20 equal PyTorch's") {
  for (const json& expected : golden_cases()) {
    INFO(expected["model"] << ", " << expected["mode"]);
    const Case exact(expected, DType::f64);
    CHECK(relative(exact.surface->value().loss(), expected["loss"]) < 1e-12);
    const Tensor product = exact.surface->product(hashed_vector(*exact.surface, exact.net));
    CHECK(relative(analysis::length(product), expected["norm"]) < 1e-9);
    CHECK(worst_of_parameters(exact, expected, product) < 1e-9);

    // In f32 PyTorch itself is off by some 1e-6.
    const Case rounded(expected, DType::f32);
    const Tensor in_f32 = rounded.surface->product(hashed_vector(*rounded.surface, rounded.net));
    CHECK(relative(analysis::length(in_f32), expected["norm"]) < 1e-4);
    CHECK(worst_of_parameters(rounded, expected, in_f32) < 1e-4);
  }
}

TEST_CASE("Lanczos finds the eigenvalues of ResNet-8 that SciPy's eigsh finds") {
  for (const json& expected : golden_cases()) {
    if (!expected.contains("largest")) continue;
    INFO(expected["mode"]);
    const Case of(expected, DType::f64);
    const analysis::EigenResult found =
        analysis::extreme_eigenvalues(analysis::hessian_of(*of.surface), of.surface->size(), DType::f64,
                                      {.top = 2, .tolerance = 1e-6, .max_steps = 150});
    CHECK(found.converged);
    // An eigenvalue lies within the residual; eigsh went down to 1e-7.
    const std::vector<double> largest = expected["largest"];
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(std::abs(found.values[i] - largest[i]) <= found.residuals[i] + 1e-7 * largest[0]);
    CHECK(std::abs(found.smallest - expected["smallest"].get<double>()) <=
          found.smallest_residual + 1e-7 * largest[0]);
  }
}

}  // namespace lamina::tests
