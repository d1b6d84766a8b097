#include "layers/init.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

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

using Draw = double (*)(const Random& random, std::uint32_t draw);

double standard_normal(const Random& random, std::uint32_t draw) { return random.normal(draw); }

double symmetric_uniform(const Random& random, std::uint32_t draw) {
  return 2.0 * static_cast<double>(random.uniform(draw)) - 1.0;
}

void fill_random(Tensor& value, const Random& random, Draw draw, double scale) {
  const bool on_host = value.device() == Device::cpu();
  Tensor host = on_host ? value.detach() : Tensor::empty(value.shape(), {.dtype = value.dtype()});
  visit_floating(value.dtype(), "initialise", [&](auto zero) {
    using T = decltype(zero);
    const std::span<T> elements(host.data<T>(), static_cast<std::size_t>(host.elements()));
    std::uint32_t next = 0;
    for (T& element : elements) element = static_cast<T>(scale * draw(random, next++));
  });
  if (on_host)
    value.bump_version();
  else
    value.copy_from(host);
}

void initialise_weight(Tensor& weight, std::optional<Init> init, const Random& random) {
  const bool convolution = weight.rank() == 4;
  const Fans fans = fans_of(weight.shape());
  if (!init && !convolution) return fill_random(weight, random, symmetric_uniform, 1 / std::sqrt(fans.in));
  const Init chosen = init.value_or(Init::kaiming_normal);
  const double sigma = standard_deviation(chosen, fans, convolution);
  if (chosen == Init::kaiming_normal || chosen == Init::xavier_normal) {
    return fill_random(weight, random, standard_normal, sigma);
  }
  fill_random(weight, random, symmetric_uniform, std::sqrt(3.0) * sigma);  // U(-b, b) has variance b²/3
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
      fill_random(param->value, random, symmetric_uniform, 1 / std::sqrt(fan_in));
    ++random.sample;
  }
}

}  // namespace lamina
