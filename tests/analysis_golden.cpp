// Second derivatives of the golden net against its whole Hessian in f64, made element by element.
#include <cmath>

#include "analysis/density.h"
#include "analysis/eigenvalues.h"
#include "analysis/layers.h"
#include "analysis/loss_surface.h"
#include "analysis/perturbation.h"
#include "analysis/trace_estimate.h"
#include "analysis/vectors.h"
#include "catch.h"
#include "golden_net.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

using analysis::BatchNormMode;
using analysis::inner_product;
using analysis::length;
using analysis::LossSurface;

// A vector of parameter space by its elements in the file layout.
template <typename Values>
Tensor in_file_order(const Module& net, const Values& values) {
  std::vector<double> vector;
  std::int64_t at = 0;
  for (const auto& param : net.parameters()) {
    Param piece{.name = param->name, .kind = param->kind, .value = Tensor::zeros_like(param->value)};
    GoldenNet::set(piece, [&](double i) { return values(static_cast<double>(at) + i); });
    const std::vector<double> elements = piece.value.to_vector<double>();
    vector.insert(vector.end(), elements.begin(), elements.end());
    at += param->value.elements();
  }
  return Tensor::from(vector, {at});
}

std::vector<double> to_file_order(const Module& net, const Tensor& vector) {
  std::vector<double> elements;
  std::int64_t at = 0;
  for (const auto& param : net.parameters()) {
    const Tensor piece = vector.flat(at, param->value.shape()).clone();
    const std::vector<double> stored =
        to_file_layout({.name = param->name, .kind = param->kind, .value = piece}).to_vector<double>();
    elements.insert(elements.end(), stored.begin(), stored.end());
    at += param->value.elements();
  }
  return elements;
}

struct Golden {
  BatchNormMode mode;
  double loss, gradient_norm, product_norm, product;
  std::vector<double> elements;  // of Hv, at 0, 100 and 378
  std::vector<double> largest;   // eigenvalues
  double smallest, trace, frobenius;
  std::vector<double> layers;        // λ₁ of conv1.weight, conv2.weight, fc.weight
  std::vector<double> layer_traces;  // of conv1.weight, conv2.weight
  double curvature_of_gradient;      // gᵀHg/gᵀg
  double one_step_rise;              // ρ = 0.05
};
const Golden golden[] = {
    {.mode = BatchNormMode::train,
     .loss = 1.731915711800,
     .gradient_norm = 1.162059875133,
     .product_norm = 33.508616703180,
     .product = -105.828144504394,
     .elements = {-4.046735068272, -3.666669702126, 0.277650134751},
     .largest = {7.9699987744, 6.3414601975, 5.0104869855},
     .smallest = -11.3224444049,
     .trace = -22.6239576995,
     .frobenius = 23.0460368741,
     .layers = {6.3370353696, 0.2561231106, 0.1790261562},
     .layer_traces = {-22.8342339608, -1.1525876735},
     .curvature_of_gradient = -2.4858545647,
     .one_step_rise = 0.042707930897},
    {.mode = BatchNormMode::eval,
     .loss = 1.696503256502,
     .gradient_norm = 0.257776647853,
     .product_norm = 2.024529037157,
     .product = -3.444212080149,
     .elements = {-0.158684897659, -0.054131451292, 0.211456628468},
     .largest = {0.7418677689, 0.4849757154, 0.3850378327},
     .smallest = -0.7165646930,
     .trace = 1.1021363696,
     .frobenius = 1.6893216960,
     .layers = {0.0432657215, 0.0237448146, 0.0056711298},
     .layer_traces = {0.1393205848, 0.0352679309},
     .curvature_of_gradient = 0.1859095251,
     .one_step_rise = 0.013145701767},
};

// A net, its objective and the surface of either mode.
struct GoldenSurface {
  explicit GoldenSurface(BatchNormMode mode, std::int64_t micro_batch = 8)
      : objective(net), surface(objective, golden_parts(micro_batch), mode) {}

  analysis::Operator hessian() const { return analysis::hessian_of(surface); }
  std::size_t index_of(const std::string& parameter) const {
    std::size_t i = 0;
    while (surface.parameters().at(i).name != parameter) ++i;
    return i;
  }

  GoldenNet net;
  Classification objective;
  LossSurface surface;
};

constexpr double printed = 1e-9;  // relatively: ten digits after the point of numbers from 0.1 on

}  // namespace

TEST_CASE("products of the golden net's Hessian are exact in both modes of batch normalisation") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    REQUIRE(of.surface.size() == 379);
    const Tensor gradient = Tensor::zeros({379}, f64);
    CHECK(relative_difference(of.surface.gradient(gradient), expected.loss) < 1e-11);
    CHECK(relative_difference(of.surface.value().loss(), expected.loss) < 1e-11);
    CHECK(relative_difference(length(gradient), expected.gradient_norm) < 1e-11);

    const Tensor v = in_file_order(of.net, [](double i) { return std::sin(0.9 * i + 0.2); });
    const Tensor hv = of.surface.product(v);
    CHECK(relative_difference(length(hv), expected.product_norm) < 1e-11);
    CHECK(relative_difference(inner_product(v, hv), expected.product) < 1e-11);
    const std::vector<double> elements = to_file_order(of.net, hv);
    CHECK(relative_difference(elements[0], expected.elements[0]) < 1e-11);
    CHECK(relative_difference(elements[100], expected.elements[1]) < 1e-11);
    CHECK(relative_difference(elements[378], expected.elements[2]) < 1e-11);

    const Tensor hg = of.surface.product(gradient);
    CHECK(relative_difference(inner_product(gradient, hg) / inner_product(gradient, gradient),
                              expected.curvature_of_gradient) < printed);
  }
}

TEST_CASE("Lanczos finds both ends of the golden net's spectrum") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    const analysis::EigenResult found = analysis::extreme_eigenvalues(
        of.hessian(), 379, DType::f64, {.top = 3, .tolerance = 1e-6, .max_steps = 60});
    CHECK(found.converged);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(relative_difference(found.values[i], expected.largest[i]) < printed);
      CHECK(found.residuals[i] < 1e-6 * std::abs(expected.smallest) + 1e-6);
    }
    CHECK(relative_difference(found.smallest, expected.smallest) < printed);
  }
}

TEST_CASE("power iteration tells the largest eigenvalue from the outermost one") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    const analysis::EigenResult found = analysis::extreme_eigenvalues(
        of.hessian(), 379, DType::f64, {.tolerance = 1e-4, .max_steps = 3000, .power = true});
    CHECK(found.converged);
    CHECK(relative_difference(found.values.front(), expected.largest.front()) < 1e-6);
    CHECK(relative_difference(found.smallest, expected.smallest) < 1e-6);
  }
}

TEST_CASE("layers' eigenvalues are those of the golden net's blocks") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    std::vector<analysis::Layer> layers;
    for (const char* name : {"conv1.weight", "conv2.weight", "fc.weight"})
      layers.push_back(
          {.range = of.surface.parameters()[of.index_of(name)], .parameters = {of.index_of(name)}});
    const std::vector<analysis::LayerEigenvalue> found =
        analysis::layer_eigenvalues(of.surface, layers, {.tolerance = 1e-7, .max_steps = 100});
    for (std::size_t i = 0; i < layers.size(); ++i)
      CHECK(std::abs(found[i].eigenvalue - expected.layers[i]) < 2e-10);  // ten digits are written down
    const Tensor w = of.net.parameter("conv2.weight").value.detach().view({4 * 6 * 9});
    CHECK(relative_difference(found[1].weight_norm, length(w)) < 1e-14);
  }
}

TEST_CASE("the trace of the golden net and of its layers, exactly by unit vectors and by random signs") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    double trace = 0;
    std::vector<double> traces(of.surface.parameters().size());
    for (std::size_t k = 0; k < traces.size(); ++k) {
      const analysis::ParameterRange& range = of.surface.parameters()[k];
      for (std::int64_t i = range.first; i < range.first + range.size; ++i) {
        Tensor unit = Tensor::zeros({379}, f64);
        unit.data<double>()[i] = 1;
        traces[k] += of.surface.product(unit).data<double>()[i];
      }
      trace += traces[k];
    }
    CHECK(relative_difference(trace, expected.trace) < printed);
    CHECK(relative_difference(traces[of.index_of("conv1.weight")], expected.layer_traces[0]) < printed);
    CHECK(relative_difference(traces[of.index_of("conv2.weight")], expected.layer_traces[1]) < printed);

    const analysis::EigenResult known =
        analysis::extreme_eigenvalues(of.hessian(), 379, DType::f64, {.top = 5, .max_steps = 60});
    const analysis::TraceOptions plain{.relative_error = 1e-9, .most_probes = 400};
    analysis::TraceOptions deflated = plain;
    deflated.values = known.values;
    deflated.vectors = known.vectors;
    for (const analysis::TraceOptions& options : {plain, deflated}) {
      const analysis::TraceResult found =
          analysis::estimate_trace(of.hessian(), of.surface.parameters(), DType::f64, options);
      CHECK(found.probes == 400);
      CHECK(std::abs(found.trace.mean - expected.trace) < 4 * found.trace.standard_error);
      for (std::size_t k = 0; k < traces.size(); ++k)
        CHECK(std::abs(found.ranges[k].mean - traces[k]) < 4 * found.ranges[k].standard_error + 1e-12);
      CHECK(relative_difference(found.frobenius, expected.frobenius) < 0.1);
    }
    const auto error = [&](const analysis::TraceOptions& options) {
      return analysis::estimate_trace(of.hessian(), of.surface.parameters(), DType::f64, options)
          .trace.standard_error;
    };
    CHECK(error(deflated) < 0.9 * error(plain));
  }
}

TEST_CASE("the spectral density of the golden net has its moments") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    const std::vector<analysis::DensityNode> nodes =
        analysis::spectral_density(of.hessian(), 379, DType::f64, {.steps = 60, .starts = 40});
    double weight = 0, mean = 0, square = 0;
    for (const analysis::DensityNode& node : nodes) {
      weight += node.weight;
      mean += node.weight * node.value;
      square += node.weight * node.value * node.value;
    }
    CHECK(std::abs(weight - 1) < 1e-12);
    CHECK(relative_difference(nodes.front().value, expected.smallest) < printed);
    CHECK(relative_difference(nodes.back().value, expected.largest.front()) < printed);
    // The first moment of each start is zᵀHz/n: the same numbers as the trace's first forty probes.
    const analysis::TraceResult trace = analysis::estimate_trace(
        of.hessian(), of.surface.parameters(), DType::f64, {.least_probes = 40, .most_probes = 40});
    CHECK(relative_difference(379 * mean, trace.trace.mean) < 1e-10);
    CHECK(relative_difference(std::sqrt(379 * square), trace.frobenius) < 1e-10);
  }
}

TEST_CASE("SAM's perturbation raises the golden net's loss as it should") {
  for (const Golden& expected : golden) {
    INFO(name_of(expected.mode));
    const GoldenSurface of(expected.mode);
    const std::vector<double> before = of.surface.position().to_vector<double>();
    const double rise = analysis::one_step_rise(of.surface, {.rho = 0.05});
    CHECK(relative_difference(rise, expected.one_step_rise) < printed);
    CHECK(analysis::worst_rise(of.surface, {.rho = 0.05}) >= rise * (1 - 1e-12));
    CHECK(analysis::average_rise(of.surface, {.rho = 0.001}).mean < rise);
    CHECK(of.surface.position().to_vector<double>() == before);
  }
}

}  // namespace lamina::tests
