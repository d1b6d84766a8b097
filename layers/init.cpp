#include "layers/init.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "core/random_fill.h"

namespace lamina {

namespace {

constexpr std::array all_inits{Init::kaiming_normal, Init::kaiming_uniform, Init::xavier_normal,
                               Init::xavier_uniform};

struct Fans {
  double in = 0;
  double out = 0;
};

// Of a weight [out, in] or [out, kh, kw, in].
Fans fans_of(const Shape& shape) {
  const double receptive = shape.rank() == 4 ? static_cast<double>(shape[1] * shape[2]) : 1;
  return {receptive * static_cast<double>(shape.back()), receptive * static_cast<double>(shape[0])};
}

double standard_deviation(Init init, const Fans& fans, bool convolution) {
  if (init == Init::xavier_normal || init == Init::xavier_uniform) return std::sqrt(2 / (fans.in + fans.out));
  return std::sqrt(2 / (convolution ? fans.out : fans.in));
}

using Fill = void (*)(const Random& random, std::span<double> values);

void fill_symmetric(const Random& random, std::span<double> values) {
  fill_uniform(random, values);
  for (double& value : values) value = 2.0 * value - 1.0;
}

void fill_random(Tensor& value, const Random& random, Fill fill, double scale) {
  const bool on_host = value.device() == Device::cpu();
  Tensor host = on_host ? value.detach() : Tensor::empty(value.shape(), {.dtype = value.dtype()});
  std::vector<double> numbers(static_cast<std::size_t>(host.elements()));
  fill(random, numbers);
  visit_floating(value.dtype(), "initialise", [&](auto zero) {
    using T = decltype(zero);
    std::transform(numbers.begin(), numbers.end(), host.data<T>(),
                   [scale](double number) { return static_cast<T>(scale * number); });
  });
  if (on_host)
    value.bump_version();
  else
    value.copy_from(host);
}

void initialise_weight(Tensor& weight, std::optional<Init> init, const Random& random) {
  const bool convolution = weight.rank() == 4;
  const Fans fans = fans_of(weight.shape());
  if (!init && !convolution) return fill_random(weight, random, fill_symmetric, 1 / std::sqrt(fans.in));
  const Init chosen = init.value_or(Init::kaiming_normal);
  const double sigma = standard_deviation(chosen, fans, convolution);
  if (chosen == Init::kaiming_normal || chosen == Init::xavier_normal) {
    return fill_random(weight, random, fill_normal, sigma);
  }
  fill_random(weight, random, fill_symmetric, std::sqrt(3.0) * sigma);  // U(-b, b) has variance b²/3
}

}  // namespace

const char* name_of(Init init) {
  switch (init) {
    case Init::kaiming_normal:
      return "kaiming_normal";
    case Init::kaiming_uniform:
      return "kaiming_uniform";
    case Init::xavier_normal:
      return "xavier_normal";
    case Init::xavier_uniform:
      return "xavier_uniform";
  }
  return "?";
}

std::vector<std::string> init_names() {
  std::vector<std::string> names;
  names.reserve(all_inits.size());
  for (const Init init : all_inits) names.emplace_back(name_of(init));
  return names;
}

Init parse_init(std::string_view text) {
  for (const Init init : all_inits) {
    if (text == name_of(init)) return init;
  }
  fail_usage("unknown initialiser \"{}\"; expected one of {}", text, fmt::join(init_names(), ", "));
}

void initialise(Module& module, std::optional<Init> init, std::uint64_t seed) {
  initialise_part(module, module, init, seed);
}

void initialise_part(const Module& module, const Module& part, std::optional<Init> init, std::uint64_t seed) {
  const ParamList wanted = part.parameters();
  Random random{.seed = seed, .stream = Stream::init};
  double fan_in = 1;  // of the latest weight, for the bias that follows it
  for (const auto& param : module.parameters()) {
    const bool is_wanted = std::find(wanted.begin(), wanted.end(), param) != wanted.end();
    if (param->kind == ParamKind::weight) fan_in = fans_of(param->value.shape()).in;
    if (is_wanted && param->kind == ParamKind::weight) initialise_weight(param->value, init, random);
    if (is_wanted && param->kind == ParamKind::bias)
      fill_random(param->value, random, fill_symmetric, 1 / std::sqrt(fan_in));
    ++random.sample;
  }
}

}  // namespace lamina
