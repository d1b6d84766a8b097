// A loss of one's own, the one-versus-all hinge loss. Stopped with Ctrl-C, the same command goes on.
#include <lamina/lamina.h>
using namespace lamina;

class Hinge : public Objective {
 public:
  Hinge(Module& net, int classes) : net_(net), classes_(classes) {}
  std::string name() const override { return "hinge"; }
  Module& module() override { return net_; }
  std::vector<MetricInfo> metrics() const override { return {{.name = "accuracy"}}; }

  // Of a sample: sum over classes of max(0, 1 - y s), with the score s, and y = 1 for its class, -1 for
  // others.
  PartLoss loss(const data::Part& part) override {
    const Tensor scores = net_(part.images()), y = 2 * one_hot(part.labels, classes_) - 1;
    const Tensor losses = reshape(sum_to(relu(1 - y * scores), {part.size(), 1}), {part.size()});
    return {part.mean(losses), {sum(is_argmax(scores.detach(), part.labels))}};
  }

 private:
  Module& net_;
  int classes_;
};

int main() {
  const auto data = data::synthetic({.classes = 4, .height = 16, .width = 16, .train = 512, .test = 128});
  const data::Loader loader(data.train, {.batch = 32, .augment = data::standard(), .drop_last = true});
  ResNet net = resnet8({.classes = 4});
  Hinge objective(net, 4);
  Lars optimizer(net.parameters(), {.lr = 0.1, .trust_coefficient = 0.01});

  Trace trace;
  Trainer trainer(objective, optimizer, loader, {.epochs = 4, .directory = "runs/hinge"});
  const TrainingOutcome outcome = trainer.observe(trace).test(data.test).run();
  if (!outcome.finished) return 0;  // Ctrl-C
  const EpochResult& last = outcome.position.last;
  print("{} epochs: test loss {:.3f}, accuracy {:.1f} %", last.epoch, last.test.loss(),
        100 * last.test.mean(0));
  compare::report_on({"runs/hinge"}, "runs/hinge.html");
  return last.test.mean(0) > 0.5 ? 0 : 1;  // a guess is right in 25 %
}
