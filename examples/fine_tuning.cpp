// Fine-tuning: a trained network learns classes of another number from few images. First its new last layer
// alone, then all of it, the lower layers with smaller learning rates.
//   fine_tuning                  trains such a network itself, on made-up images
//   fine_tuning WEIGHTS [DATA]   a ResNet's safetensors, Lamina's or torchvision's; 1000 images of a data set
#include <lamina/lamina.h>

#include <filesystem>
using namespace lamina;

namespace {

ResNet make_net(const ProbableModel& found, const data::Dataset& data) {
  check(!found.model.empty(), "fine_tuning: the file does not hold a ResNet's weights");
  ResNetOptions options{.classes = static_cast<int>(data.classes.size()),
                        .channels = static_cast<int>(data.train.channels())};
  options.seed = 2;  // the new last layer is not drawn as the old one was
  if (!found.stem.empty()) options.stem = parse_stem(found.stem);
  if (!found.shortcut.empty()) options.shortcut = parse_shortcut(found.shortcut);
  return ResNet(found.model, options);
}

double fit(ResNet& net, const data::Dataset& data, const Groups& groups, double lr, std::int64_t epochs) {
  const std::int64_t batch = std::min<std::int64_t>(32, data.train.size());
  const data::Loader loader(data.train, {.batch = batch, .drop_last = true});
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = lr, .weight_decay = 1e-4, .groups = groups});
  Trainer trainer(objective, optimizer, loader, {.epochs = epochs});  // no directory: nothing is written
  return trainer.test(data.test).run().position.last.test.mean(0);
}

std::filesystem::path train_beforehand() {
  const auto data = data::synthetic({.classes = 10, .height = 16, .width = 16, .train = 640, .test = 128});
  ResNet net = resnet8({.classes = 10});
  print("trained beforehand on 10 classes: {:.1f} % of their test images are right",
        100 * fit(net, data, {}, 0.1, 4));
  std::filesystem::create_directories("runs");
  save_weights("runs/beforehand.safetensors", net);
  return "runs/beforehand.safetensors";
}

}  // namespace

int main(int arguments, char** argument) try {
  const std::filesystem::path weights = arguments > 1 ? argument[1] : train_beforehand();
  // Of the 10 classes 6, with 8 images each: too few to learn them from nothing.
  const auto data =
      arguments > 2 ? data::open(argument[2], {.limit_train = 1000, .limit_test = 1000})
                    : data::synthetic({.classes = 6, .height = 16, .width = 16, .train = 48, .test = 192});

  const ProbableModel found = probable_model(read_tensors(weights));
  print("{} holds {}", weights.string(), found.str());
  ResNet net = make_net(found, data), untrained = make_net(found, data);
  const MatchedWeights matched = load_matching_weights(weights, net);
  print("taken: {} tensors; left as drawn, since the file's have another shape: {}", matched.taken.size(),
        matched.other_shape.empty() ? "none" : fmt::format("{}", fmt::join(matched.other_shape, ", ")));
  const double before = accuracy(net, data.test);

  // Gradients of a layer that knows nothing yet would disturb what the others know.
  freeze(net);
  unfreeze(net, "fc.*");
  const double head = fit(net, data, {}, 0.1, 8);
  unfreeze(net);  // the next optimizer is a new one: that of before does not know these parameters
  const Groups slower_below{.decay = AppliesTo::all,
                            .rules = {{.pattern = "conv1.*", .lr_scale = 0.1},
                                      {.pattern = "layer1.*", .lr_scale = 0.1},
                                      {.pattern = "layer2.*", .lr_scale = 0.3}}};
  const double tuned = fit(net, data, slower_below, 0.01, 8);
  const double from_nothing = fit(untrained, data, {}, 0.1, 16);

  print("{} images of {} classes; test accuracy", data.train.size(), data.classes.size());
  print("  weights as loaded                    {:5.1f} %", 100 * before);
  print("  8 epochs of the last layer           {:5.1f} %", 100 * head);
  print("  8 more of all layers                 {:5.1f} %", 100 * tuned);
  print("  16 epochs from random weights        {:5.1f} %", 100 * from_nothing);
  return arguments > 1 || (tuned > before && tuned > from_nothing) ? 0 : 1;
} catch (const Error& error) {  // no such file, no ResNet's weights, …
  print("{}", error.what());
  return 1;
}
