// An op of one's own, its derivatives, and the proof that they are right:
//   softplus(x, β) = log(1 + e^(βx)) / β,   d/dx = σ(βx),   d/dβ = (x σ(βx) − softplus) / β
// with σ the sigmoid; the larger β, a number, the closer it is to a ReLU.
#include <lamina/lamina.h>

#include <algorithm>
#include <cmath>
using namespace lamina;

namespace {

// The values: a loop over the elements, in memory of the CPU. Of a large βx, e^(βx) would be infinite.
template <typename T>
void softplus_values(const Tensor& x, T beta, Tensor& y) {
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    const T z = beta * x.data<T>()[i];
    y.data<T>()[i] = (std::max(z, T(0)) + std::log1p(std::exp(-std::abs(z)))) / beta;
  }
}

Tensor softplus(const Tensor& x, const Tensor& beta) {
  check(x.device() == Device::cpu() && beta.device() == Device::cpu(), "softplus: x {} is not on the CPU", x);
  check(beta.elements() == 1 && beta.dtype() == x.dtype(), "softplus: beta {} is not one number like x {}",
        beta, x);
  Tensor y = Tensor::empty_like(x);
  if (x.dtype() == DType::f64)
    softplus_values<double>(x, beta.item(), y);
  else
    softplus_values<float>(x, static_cast<float>(beta.item()), y);

  // Backward is made of ops, so that it has a derivative as well. What it reads is kept as Saved, which
  // notices when it is overwritten; y is this op's own output, and re-joins the tape by attach_output().
  return record("softplus", y, {x, beta},
                [x = Saved(x), beta = Saved(beta), y = Saved(y)](const Tensor& grad, Grads& grads) {
                  const Tensor &in = grads.get(x), &b = grads.get(beta);
                  const Tensor slope = sigmoid(b * in);
                  if (grads.wanted(0)) grads.set(0, grad * slope);
                  if (grads.wanted(1)) {
                    const Tensor by_beta = (in * slope - grads.attach_output(y)) / b;
                    grads.set(1, sum_to(grad * by_beta, b.shape()));  // β serves all elements of x
                  }
                });
}

// df/dx of a scalar f by the central difference of each element: (f(x + h) − f(x − h)) / 2h, off by h²/6
// times f's third derivative.
template <typename F>
std::vector<double> finite_differences(const F& f, const Tensor& x) {
  constexpr double h = 1e-5;
  std::vector<double> derivatives;
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    double& element = x.data<double>()[i];
    const double middle = element;
    element = middle + h;
    const double above = f();
    element = middle - h;
    derivatives.push_back((above - f()) / (2 * h));
    element = middle;
  }
  return derivatives;
}

bool all_agree = true;

void check_derivative(const char* what, const Tensor& ours, const std::vector<double>& numeric) {
  double largest = 0;
  for (std::size_t i = 0; i < numeric.size(); ++i)
    largest = std::max(largest, std::abs(ours.data<double>()[i] - numeric[i]));
  print("{:<12} {:.5f}   finite differences are off by {:.0e}", what, ours, largest);
  all_agree = all_agree && largest < 1e-8;  // rounding, 1e-16 / h, is the most of it
}

}  // namespace

int main() {
  Tensor x = Tensor::from({-2.0, -0.5, 0.0, 1.0, 3.0}, {5}).requires_grad_();
  Tensor beta = Tensor::full({}, 1.5, {DType::f64}).requires_grad_();
  print("softplus     {:.5f}", softplus(x, beta).detach());

  // Squared, so that the gradient that comes to the op is not 1 for all elements.
  const auto loss = [&] { return sum(square(softplus(x, beta))); };
  const auto gradients = [&] { return grad(loss(), {x, beta}, {}, {.create_graph = true}); };
  const auto first = gradients();
  check_derivative("dL/dx", first[0].detach(), finite_differences([&] { return loss().item(); }, x));
  check_derivative("dL/dβ", first[1].detach(), finite_differences([&] { return loss().item(); }, beta));

  // The derivatives of the sum of both gradients: a second pass, through the first one.
  const auto total = [&](const std::vector<Tensor>& g) { return sum(g[0]) + g[1]; };
  const auto second = grad(total(first), {x, beta});
  check_derivative("second, x", second[0], finite_differences([&] { return total(gradients()).item(); }, x));
  check_derivative("second, β", second[1],
                   finite_differences([&] { return total(gradients()).item(); }, beta));

  print("{}", all_agree ? "all derivatives are right" : "a derivative is wrong");
  return all_agree ? 0 : 1;
}
