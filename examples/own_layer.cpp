// Layers of one's own: a squeeze-and-excitation block (Hu, Shen & Sun 2018), made of other layers, and a
// learned scale for each channel, a parameter of its own; a network of them, trained.
#include <lamina/lamina.h>

#include <filesystem>
using namespace lamina;

// s = σ(W₂ ReLU(W₁ mean of x over the pixels)), y = s x: every image weighs its channels (eqs. 2 to 4).
class SqueezeExcitation : public Module {
 public:
  SqueezeExcitation(int channels, int reduction)
      : squeeze_(&add_child<Linear>("squeeze", channels, channels / reduction)),
        excite_(&add_child<Linear>("excite", channels / reduction, channels)) {}
  std::string kind() const override { return "SqueezeExcitation"; }

 private:
  Tensor forward(const Tensor& x) override {  // [N, H, W, C], as y
    const Tensor scale = sigmoid((*excite_)(relu((*squeeze_)(global_avg_pool(x)))));
    return x * reshape(scale, {x.size(0), 1, 1, x.size(3)});
  }
  Linear *squeeze_, *excite_;  // owned by Module
};

// y = γ x, with a γ for each channel.
class ChannelScale : public Module {
 public:
  explicit ChannelScale(int channels)
      : scale_(add_param("scale", ParamKind::norm, Tensor::ones({channels}))) {}  // no decay, no trust ratio
  std::string kind() const override { return "ChannelScale"; }

 private:
  Tensor forward(const Tensor& x) override { return x * scale_->value; }
  std::shared_ptr<Param> scale_;
};

// x + γ · excited(ReLU(norm(conv(x)))).
class Block : public Module {
 public:
  explicit Block(int channels)
      : conv_(&add_child<Conv2d>("conv", channels, channels, 3, Conv2dLayerOptions{.padding = 1})),
        norm_(&add_child<BatchNorm2d>("norm", channels)),
        excitation_(&add_child<SqueezeExcitation>("excitation", channels, 4)),
        scale_(&add_child<ChannelScale>("scale", channels)) {}
  std::string kind() const override { return "Block"; }

 private:
  Tensor forward(const Tensor& x) override {
    return x + (*scale_)((*excitation_)(relu((*norm_)((*conv_)(x)))));
  }
  Conv2d* conv_;
  BatchNorm2d* norm_;
  SqueezeExcitation* excitation_;
  ChannelScale* scale_;
};

Sequential make_net(int classes) {
  Sequential net;
  net.add<Conv2d>(3, 16, 3, Conv2dLayerOptions{.stride = 2, .padding = 1});
  net.add<Block>(16);
  net.add<Block>(16);
  net.add<GlobalAvgPool>();
  net.add<Linear>(16, classes);
  initialise(net);  // γ stays 1: only weights and biases are drawn
  return net;
}

int main() {
  const auto data = data::synthetic({.classes = 4, .height = 16, .width = 16, .train = 512, .test = 128});
  const data::Loader train(data.train, {.batch = 32, .drop_last = true});
  Sequential net = make_net(4);
  print("{}", summary(net, {1, 16, 16, 3}).str());

  Lars optimizer(net.parameters(), {.lr = 0.3, .trust_coefficient = 0.01});
  for (int epoch = 0; epoch < 6; ++epoch) {
    double total = 0;
    for (const auto& [images, labels] : train.epoch(epoch)) {
      const Tensor loss = cross_entropy(net(images), labels);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      total += loss.item();
    }
    print("epoch {}: loss {:.3f}", epoch + 1, total / static_cast<double>(train.batches()));
  }
  const double right = accuracy(net, data.test);
  print("{:.1f} % of the test images are right", 100 * right);
  print("γ of the first block: {:.2f}", net.parameter("1.scale.scale").value.detach());

  // Its parameters have names, so weight files hold them like any other's.
  std::filesystem::create_directories("runs");
  save_weights("runs/own_layer.safetensors", net);
  Sequential again = make_net(4);
  load_weights("runs/own_layer.safetensors", again);
  return right > 0.5 && accuracy(again, data.test) == right ? 0 : 1;  // a guess is right in 25 %
}
