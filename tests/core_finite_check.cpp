// Where a NaN or infinity came from.
#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "leaf.h"
#include "message_of.h"

namespace lamina::tests {

TEST_CASE("FiniteCheck names the op and the scope that made a NaN", "[autograd][errors]") {
  const Tensor x = leaf({1, -1});
  const Tensor quiet = log(x);  // unchecked: a NaN and no error
  CHECK(std::isnan(values_of(quiet)[1]));

  const FiniteCheck checking;
  const Scope layer("layer1");
  {
    const Scope block("0");
    CHECK(Scope::path() == "layer1.0");
    CHECK(unexplained([&] { log(x); }, {"log", "layer1.0", "NaN or Inf", "f64[2]"}) == "nothing");
  }
  CHECK(Scope::path() == "layer1");
  CHECK_NOTHROW(square(x));
  CHECK(unexplained([&] { add(quiet.detach(), x); }, {"add", "layer1", "input 0", "already"}) == "nothing");
}

TEST_CASE("FiniteCheck looks into the backward pass", "[autograd][errors]") {
  Tensor x = leaf({0});
  const Tensor y = sum(sqrt(x));  // finite, with an infinite derivative
  const FiniteCheck checking;
  CHECK(unexplained([&] { y.backward(); }, {"unary_grad", "NaN or Inf"}) == "nothing");
}

}  // namespace lamina::tests
