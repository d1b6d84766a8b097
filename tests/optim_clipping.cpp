// Clipping by the norm of the gradient of the whole model.
#include <cmath>

#include "catch.h"
#include "optim/norms.h"
#include "optim_common.h"

namespace lamina {
namespace {

using namespace testing;
using Catch::Matchers::Contains;

double norm_of_grads(const ParamList& params) {
  double sum = 0;
  for (const auto& param : params) sum += squared_norm(param->grad());
  return std::sqrt(sum);
}

void set_scaled_grads(const ParamList& params, double scale) {
  for (std::size_t i = 0; i < params.size(); ++i)
    set_grad<double>(*params[i], 7 + static_cast<std::uint32_t>(i), 0.1 * scale);
}

double furthest(const ParamList& a, const ParamList& b) {  // relative to the element
  double error = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = a[i]->value.to_vector<double>(), y = b[i]->value.to_vector<double>();
    for (std::size_t k = 0; k < x.size(); ++k)
      error = std::max(error, std::abs(x[k] - y[k]) / std::max(1e-3, std::abs(y[k])));
  }
  return error;
}

}  // namespace

TEST_CASE("max_grad_norm steps as with gradients scaled by hand, for every rule") {
  for (const std::string& name : all_presets()) {
    if (freezes_zeros(name)) continue;
    INFO(name);
    const ParamList clipped = model<double>(), by_hand = model<double>(), loose = model<double>();
    const auto optimizer = make(name, clipped, {{"max_grad_norm", "0.5"}});
    const auto plain = make(name, by_hand, {{"max_grad_norm", "0"}});
    const auto unclipped = make(name, loose, {{"max_grad_norm", "1000"}});
    set_scaled_grads(clipped, 1);
    const double norm = norm_of_grads(clipped);
    REQUIRE(norm > 0.5);
    set_scaled_grads(by_hand, 0.5 / norm);
    optimizer->step();
    plain->step();
    CHECK(furthest(clipped, by_hand) < 1e-12);  // the factor is rounded once, and sums are of other terms
    CHECK(std::abs(optimizer->report().grad_norm / norm - 1) < 1e-12);
    CHECK(same_bits(clipped[0]->grad(), loose[0]->grad()) == false);
    const ParamList off = model<double>();
    const auto reference = make(name, off, {{"max_grad_norm", "0"}});
    for (const auto& [params, of] : {std::pair(&loose, unclipped.get()), {&off, reference.get()}}) {
      set_scaled_grads(*params, 1);
      of->step();
    }
    for (std::size_t i = 0; i < off.size(); ++i) CHECK(same_bits(off[i]->value, loose[i]->value));
  }
  CHECK_THROWS_WITH(Sgd(model<float>(), {.max_grad_norm = -1}), Contains("max_grad_norm is -1"));
  CHECK(std::get<SgdOptions>(resolve_optimizer("sgd", {.max_grad_norm = 2}).options).max_grad_norm == 2);
}

TEST_CASE("clip_grad_norm scales gradients down to the norm, and returns what it was") {
  const ParamList params = model<float>();
  const Sgd optimizer(params);
  set_grads<float>(params, 3);
  const double norm = norm_of_grads(params);
  const Tensor before = params[0]->grad().clone();
  CHECK(clip_grad_norm(params, 2 * norm) == norm);
  CHECK(same_bits(before, params[0]->grad()));
  CHECK(clip_grad_norm(params, 0.25) == norm);
  CHECK(std::abs(norm_of_grads(params) / 0.25 - 1) < 1e-5);  // torch's 1e-6 beside the norm, and f32
  CHECK(params[0]->grad().shares_storage(optimizer.arena().grads()));
  Tensor(params[3]->grad()).fill(std::nan(""));
  CHECK(std::isnan(clip_grad_norm(params, 1)));
  CHECK(std::isnan(params[0]->grad().to_vector<float>()[0]));
  CHECK(clip_grad_norm(model<float>(), 1) == 0);  // no gradients yet
  CHECK_THROWS_AS(clip_grad_norm(params, -1), UsageError);
  CHECK_THROWS_AS(clip_grad_norm(params, std::nan("")), UsageError);
}

}  // namespace lamina
