// A rule as a program of its own may compile it: with other flags than the library (CMakeLists.txt).
#include "other_flags.h"

#include "lamina/rule.h"

namespace lamina::tests {

struct OtherFlagsOptions {
  double lr = 1, weight_decay = 0;
  Groups groups = {};
};

template <typename Real>
struct OtherFlagsDescent {
  using Options = OtherFlagsOptions;
  static constexpr const char* name = "descent";
  static constexpr std::array<const char*, 0> slots{};
  static constexpr bool layerwise = false;
  OtherFlagsDescent(const Options&, const Step&) {}
  LAMINA_HD Real apply(Element<Real> e, Real*) const { return e.weight - e.lr * e.grad; }
};

double sum_squares_with_other_flags(const float* x, std::int64_t n) { return engine::sum_squares(x, n); }

std::unique_ptr<Optimizer> plain_descent_with_other_flags(const ParamList& params, double lr) {
  return std::make_unique<OptimizerOf<OtherFlagsDescent>>(params, OtherFlagsOptions{.lr = lr});
}

}  // namespace lamina::tests
