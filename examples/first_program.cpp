// README's program with the Trainer, on made-up images: logs, checkpoints and a report under runs/.
#include <lamina/lamina.h>
using namespace lamina;

int main() {
  const auto data = data::synthetic({.classes = 4, .height = 16, .width = 16, .train = 512, .test = 128});
  const data::Loader loader(data.train, {.batch = 32, .augment = data::standard(), .drop_last = true});
  ResNet net = resnet8({.classes = 4});
  Classification objective(net, {.label_smoothing = 0.1});
  TvLars optimizer(net.parameters(), {.lr = 0.5, .lambda = 1e-2, .trust_coefficient = 0.01});

  Trace trace;
  Trainer trainer(objective, optimizer, loader, {.epochs = 4, .directory = "runs/first"});
  const TrainingOutcome outcome = trainer.observe(trace).test(data.test).run();
  if (!outcome.finished) return 0;  // Ctrl-C
  const double right = outcome.position.last.test.mean(0);
  print("after {} epochs: {:.1f} % of the test images are right", outcome.position.epoch, 100 * right);
  compare::report_on({"runs/first"}, "runs/first.html");
  return right > 0.5 ? 0 : 1;  // a guess is right in 25 %
}
