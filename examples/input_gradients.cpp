// The gradient with respect to the image: which pixels the loss hangs on (saliency, Simonyan et al. 2014),
// and the smallest change that misleads the network (the fast gradient sign method, Goodfellow et al. 2015).
#include <lamina/lamina.h>
using namespace lamina;

namespace {

ResNet trained_net(const data::Dataset& data) {
  ResNet net = resnet8({.classes = static_cast<int>(data.classes.size())});
  const data::Loader loader(data.train, {.batch = 32, .drop_last = true});
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.05, .weight_decay = 1e-4});
  Trainer(objective, optimizer, loader, {.epochs = 4}).run();
  return net;
}

// dL/dx. grad() visits what leads to x alone: parameters get no gradient, nothing needs to be zeroed.
Tensor input_gradient(Module& net, const Tensor& images, const Tensor& labels) {
  Tensor x = images.detach();
  x.requires_grad_();
  return grad(cross_entropy(net(x), labels), {x}).front();
}

double accuracy_on(Module& net, const Tensor& images, const Tensor& labels) {
  const NoGrad no_grad;
  return mean(is_argmax(net(images), labels)).item();
}

// |dL/dx|, the largest of the colours: a map of one image, [H, W].
void draw(const Tensor& saliency) {
  const std::string_view shades = " .:-=+*#%@";
  const double largest = max(saliency).item();
  for (std::int64_t row = 0; row < saliency.size(0); ++row) {
    std::string line;
    for (const float value : saliency[row].to_vector<float>())
      line += std::string(2, shades[static_cast<std::size_t>(value / largest * 9)]);
    print("  {}", line);
  }
}

// The images with a share of their pixels, those of the largest or of the smallest saliency, made grey.
Tensor without_pixels(const Tensor& images, const Tensor& saliency, double share, bool largest) {
  const std::int64_t count = images.size(0), pixels = saliency.elements() / count;
  const Tensor rows = reshape(largest ? saliency : -saliency, {count, pixels});
  const TopK chosen = top_k(rows, static_cast<std::int64_t>(share * static_cast<double>(pixels)));
  const Tensor threshold = min(chosen.values, -1, {.keep = true});
  const Tensor keep = reshape(rows < threshold, {count, images.size(1), images.size(2), 1});
  return images * keep;  // images are normalised: 0 is the mean colour
}

}  // namespace

int main() {
  const auto data = data::synthetic({.classes = 6, .height = 16, .width = 16, .train = 768, .test = 240});
  ResNet net = trained_net(data);
  const EvalMode eval(net);  // batch statistics would make an image's gradient depend on its neighbours
  const auto [images, labels] = *data::evaluation_loader(data.test).epoch(0).begin();
  const Tensor gradient = input_gradient(net, images, labels);

  const Tensor saliency = max(abs(gradient), 3);  // [N, H, W]
  print("where the loss of the first image hangs on its pixels:");
  draw(saliency[0]);
  const double clean = accuracy_on(net, images, labels);
  const double without_most = accuracy_on(net, without_pixels(images, saliency, 0.25, true), labels);
  const double without_least = accuracy_on(net, without_pixels(images, saliency, 0.25, false), labels);
  print("right: {:.1f} %; without the most salient quarter {:.1f} %, the least {:.1f} %", 100 * clean,
        100 * without_most, 100 * without_least);

  // Of all steps of at most ε a colour, ε sign(dL/dx) raises the loss the most, to first order.
  print("   ε    under attack   the same ε in random directions");
  double attacked = clean, shaken = clean;
  for (const double epsilon : {0.05, 0.1, 0.2, 0.4}) {  // in standard deviations of the pixels
    attacked = accuracy_on(net, images + epsilon * sign(gradient), labels);
    shaken = accuracy_on(net, images + epsilon * sign(Tensor::randn(images.shape())), labels);
    print("{:5.2f}   {:8.1f} %   {:8.1f} %", epsilon, 100 * attacked, 100 * shaken);
  }
  return clean > 0.9 && without_most < without_least && attacked < clean - 0.3 && shaken > attacked ? 0 : 1;
}
