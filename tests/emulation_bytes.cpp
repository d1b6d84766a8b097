// How many bytes a training step in bf16 moves, by arithmetic: all that its kernels load and store, but for
// what is small beside it: images, pooling, padded shortcuts, the head, the loss, partial sums. The table of
// docs/gpu.md; `-s` shows the rows.
#include <string>
#include <vector>

#include <fmt/core.h>

#include "catch.h"
#include "core/autograd.h"
#include "core/base/whole_file.h"
#include "layers/resnet.h"

namespace lamina::tests {
namespace {

// Elements of what a step works on, of one image but for the parameters.
struct StepElements {
  double inputs = 0, outputs = 0, weights = 0;                  // of all convolutions
  double first_input = 0, first_output = 0, first_weights = 0;  // whose input has no gradient
  double normalised = 0, with_residual = 0;  // outputs of batch norms; of those that end a block
  double joined = 0;                         // inputs of blocks, where two gradients meet
  double parameters = 0;
};

double count(const Tensor& tensor) { return static_cast<double>(tensor.elements()); }

StepElements elements_of(const std::string& model) {
  ResNet net(model, {.classes = 10, .stem = Stem::cifar});
  StepElements e;
  const ForwardObserver observer([&](const Module& module, const Tensor& x, const Tensor& y) {
    if (dynamic_cast<const Conv2d*>(&module) != nullptr) {
      const double weights = count(module.parameters().front()->value);
      e.inputs += count(x), e.outputs += count(y), e.weights += weights;
      if (module.path() == "conv1")
        e.first_input = count(x), e.first_output = count(y), e.first_weights = weights;
    }
    if (dynamic_cast<const BatchNorm2d*>(&module) != nullptr) e.normalised += count(y);
    if (dynamic_cast<const ResidualBlock*>(&module) != nullptr)
      e.with_residual += count(y), e.joined += count(x);
  });
  const NoGrad no_grad;
  net.eval();
  net(Tensor::zeros({1, 32, 32, 3}));
  for (const auto& param : net.parameters()) e.parameters += count(param->value);
  return e;
}

// Bytes by what moves them, of a step of TVLARS.
struct StepBytes {
  double convolutions, norm_forward, norm_backward, joined_before, joined, parameters;

  StepBytes(const StepElements& e, double images) {
    constexpr double narrow = 2, wide = 4;  // bytes of a bf16, of an f32
    // Forward, the input's gradient and the weights': each reads two of x, y and the weights, and writes one.
    convolutions = narrow * (3 * (images * (e.inputs + e.outputs) + e.weights) -
                             (images * (e.first_input + e.first_output) + e.first_weights));
    // Reads x for its statistics; reads x, and a residual, and writes y.
    norm_forward = narrow * images * (3 * e.normalised + e.with_residual);
    // Reads the gradient and x for sums; reads both, and writes a gradient. With a residual the first also
    // reads y, and writes what the second reads and the shortcut gets.
    norm_backward = narrow * images * (5 * e.normalised + 2 * e.with_residual);
    joined_before = narrow * images * 3 * e.joined;  // a sum by a kernel of its own
    joined = narrow * images * e.joined;             // read by the convolution that adds to it
    // Rounded; gradients added up, which start as zeros; norms of weights and gradients; the step, of both
    // and a momentum.
    parameters = e.parameters * ((wide + narrow) + (narrow + 2 * wide) + wide + 2 * wide + 5 * wide);
  }
};

std::string text_of_gigabytes(double bytes) { return fmt::format("{:.2f}", bytes / 1e9); }

}  // namespace

TEST_CASE("docs/gpu.md has the bytes that a training step moves", "[cuda]") {
  const StepElements resnet18 = elements_of("resnet18"), resnet20 = elements_of("resnet20");
  const std::vector<StepBytes> steps{{resnet18, 128}, {resnet18, 512}, {resnet18, 1024}, {resnet20, 128}};
  const std::string page = read_text(std::string(LAMINA_SOURCE_DIR) + "/docs/gpu.md");
  const auto check_row = [&](const char* name, const auto& text_of_step) {
    std::string row = fmt::format("| {} |", name);
    for (const StepBytes& step : steps) row += fmt::format(" {} |", text_of_step(step));
    INFO(row);
    const bool is_there = page.find(row + "\n") != std::string::npos;
    CHECK(is_there);
  };
  const auto check_bytes = [&](const char* name, const auto& bytes_of_step) {
    check_row(name, [&](const StepBytes& step) { return text_of_gigabytes(bytes_of_step(step)); });
  };
  check_bytes("convolutions", [](const StepBytes& s) { return s.convolutions; });
  check_bytes("batch norm, forward", [](const StepBytes& s) { return s.norm_forward; });
  check_bytes("batch norm, backward", [](const StepBytes& s) { return s.norm_backward; });
  check_row("gradients that join, before → now", [](const StepBytes& s) {
    return text_of_gigabytes(s.joined_before) + " → " + text_of_gigabytes(s.joined);
  });
  check_bytes("parameters", [](const StepBytes& s) { return s.parameters; });
  check_row("all, before → now", [](const StepBytes& s) {
    const double rest = s.convolutions + s.norm_forward + s.norm_backward + s.parameters;
    return text_of_gigabytes(rest + s.joined_before) + " → " + text_of_gigabytes(rest + s.joined);
  });
}

}  // namespace lamina::tests
