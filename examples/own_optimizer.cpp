// An optimizer of one's own is its equations: LARS whose momentum collects the signs of the gradient.
#include <lamina/lamina.h>
#include <lamina/rule.h>
using namespace lamina;

struct SignLarsOptions {
  double lr = 1e-3, momentum = 0.9, weight_decay = 5e-4, trust_coefficient = 1e-3;
  Groups groups = {};  // which parameters decay and adapt
};

template <typename Real>
struct SignLars {
  using Options = SignLarsOptions;
  static constexpr const char* name = "sign-lars";
  static constexpr std::array<const char*, 1> slots{"momentum"};  // s[0]
  static constexpr bool layerwise = true;  // the engine supplies ‖w‖ and ‖update_direction‖
  Real mu, eta;
  SignLars(const Options& o, const Step&) : mu(Real(o.momentum)), eta(Real(o.trust_coefficient)) {}

  LAMINA_HD Real update_direction(Element<Real> e, const Real*) const {
    return e.grad + e.weight_decay * e.weight;
  }
  LAMINA_HD Real trust(Layer<Real>& l) const {
    return l.weight_norm > 0 && l.direction_norm > 0 ? eta * l.weight_norm / l.direction_norm : Real(1);
  }
  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    const Real u = update_direction(e, s);
    s[0] = mu * s[0] + e.trust * Real((u > 0) - (u < 0));
    return e.weight - e.lr * s[0];
  }
};
template class lamina::OptimizerOf<SignLars>;

int main() {
  const auto data = data::synthetic({.classes = 4, .height = 16, .width = 16, .train = 1024, .test = 128});
  const data::Loader train(data.train, {.batch = 32, .drop_last = true});
  ResNet net = resnet8({.classes = 4});
  OptimizerOf<SignLars> optimizer(net.parameters(), {.lr = 0.003});
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const auto& [images, labels] : train.epoch(epoch)) {
      const Tensor loss = cross_entropy(net(images), labels);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      if (optimizer.steps() % 8 == 0) print("step {}: loss {:.3f}", optimizer.steps(), loss.item());
    }
  }
  const double right = accuracy(net, data.test);
  print("{:.1f} % of the test images are right", 100 * right);
  print("{}", optimizer.trust_ratios());
  return right > 0.5 ? 0 : 1;  // a guess is right in 25 %
}
