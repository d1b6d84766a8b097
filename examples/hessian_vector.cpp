// The gradient of a gradient: products of the loss's Hessian H with vectors, without ever forming H, and H's
// largest eigenvalue, the sharpness, by power iteration.
//   H v = d(g · v)/dw,  g = dL/dw  (Pearlmutter 1994)
#include <lamina/lamina.h>

#include <cmath>
using namespace lamina;

namespace {

using Vector = std::vector<Tensor>;  // one tensor for each parameter

double dot_product(const Vector& a, const Vector& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += sum(a[i].detach() * b[i].detach()).item();
  return total;
}

Vector scaled(const Vector& v, double factor) {
  Vector result;
  for (const Tensor& part : v) result.push_back(part.detach() * factor);
  return result;
}

double length(const Vector& v) { return std::sqrt(dot_product(v, v)); }

// A net's loss on one batch, as a function of its parameters. In f64 and smooth, so that differences tell.
class Loss {
 public:
  Loss(Module& net, const Tensor& images, const Tensor& labels)
      : net_(net), images_(images), labels_(labels) {
    for (const auto& param : net.parameters()) weights_.push_back(param->value);
  }
  const Vector& weights() const { return weights_; }

  Vector gradient(bool create_graph = false) const {
    return grad(cross_entropy(net_(images_), labels_), weights_, {}, {.create_graph = create_graph});
  }

  // create_graph records the backward pass, so that g · v is a function of w like any other.
  Vector hessian_product(const Vector& v) const {
    const Vector g = gradient(/*create_graph=*/true);
    Tensor product = Tensor::zeros({}, {DType::f64});
    for (std::size_t i = 0; i < g.size(); ++i) product = product + sum(g[i] * v[i]);
    return grad(product, weights_);
  }

  // The same by differences: (g(w + h v) − g(w − h v)) / 2h. It costs as much, and is exact to some digits.
  Vector hessian_product_by_differences(const Vector& v, double h) {
    move(v, h);
    const Vector above = gradient();
    move(v, -2 * h);
    const Vector below = gradient();
    move(v, h);
    Vector result;
    for (std::size_t i = 0; i < v.size(); ++i) result.push_back((above[i] - below[i]) / (2 * h));
    return result;
  }

 private:
  void move(const Vector& v, double h) {
    const NoGrad no_grad;
    for (std::size_t i = 0; i < v.size(); ++i) weights_[i] += h * v[i];
  }

  Module& net_;
  Tensor images_, labels_;
  Vector weights_;
};

double relative_error(const Vector& a, const Vector& b) {
  Vector difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i].detach() - b[i].detach());
  return length(difference) / length(b);
}

}  // namespace

int main() {
  const auto data = data::synthetic({.classes = 3, .height = 8, .width = 8, .train = 96, .test = 3});
  const auto [images, labels] = *data::evaluation_loader(data.train).epoch(0).begin();
  const LinearLayerOptions f64{.tensor = {DType::f64}};
  Sequential net;
  net.add<Flatten>();
  net.add<Linear>(8 * 8 * 3, 16, f64);
  net.add<Tanh>();
  net.add<Linear>(16, 3, f64);
  initialise(net);
  Loss loss(net, images.to(DType::f64), labels);

  Vector v;
  for (const Tensor& w : loss.weights()) v.push_back(Tensor::randn(w.shape(), {.dtype = DType::f64}));
  v = scaled(v, 1 / length(v));
  const double error = relative_error(loss.hessian_product_by_differences(v, 1e-4), loss.hessian_product(v));
  print("H v by differences of gradients is off by {:.0e} of its length", error);

  double eigenvalue = 0, residual = 0;  // ‖H v − λ v‖ / |λ|
  for (int i = 1; i <= 60; ++i) {
    const Vector product = loss.hessian_product(v);
    eigenvalue = dot_product(v, product);
    // As v has length 1, ‖H v − λ v‖² = ‖H v‖² − λ².
    residual = std::sqrt(std::max(0.0, dot_product(product, product) - eigenvalue * eigenvalue)) /
               std::abs(eigenvalue);
    if (i % 10 == 0) print("iteration {}: λ = {:.6f}, residual {:.0e}", i, eigenvalue, residual);
    v = scaled(product, 1 / length(product));
  }
  print("gradient descent on this batch is stable up to the learning rate 2/λ = {:.3f}", 2 / eigenvalue);
  // The differences' error is h² = 1e-8 times a ratio of derivatives.
  return error < 1e-6 && residual < 1e-3 ? 0 : 1;
}
